"""Evaluation: is it good, and is B better than A? Comparisons are paired and say what they could have seen.

Announces `EvaluationFinished`.
"""
