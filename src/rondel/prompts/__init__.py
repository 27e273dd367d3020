"""Prompts: messages with variables, kept as numbered versions that never change, under labels that move.

Announces `PromptLabelMoved` when a label points to another version.
"""
