"""What goes live together: bundles, shadow, canary, promotion, roll-back, and how an answer came to be. Announces
ReleaseMoved, RolloutChanged.
"""
