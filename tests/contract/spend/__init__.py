"""Tests of prices that people set."""
