"""Runs: code, data, settings, environment and results of everything that was tried.

A run is one recorded execution (a training, an evaluation, a compression); an experiment is a name that groups runs to
be compared on one page. Announces `RunEnded`.
"""
