"""Budgets of keys, teams, end users and projects, and the ledger of what was spent of them.

Announces `BudgetReached` and `BudgetChanged`.
"""
