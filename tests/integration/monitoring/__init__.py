"""Tests of monitoring on real text."""
