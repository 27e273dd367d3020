"""Tests of prices that people set, and of budgets."""
