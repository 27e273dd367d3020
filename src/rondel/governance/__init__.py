"""Policies, evidence and approvals, and the pure rules that read them.

Evidence is a measured value about one subject (a release digest), with its interval, its size and the artifact it can
be recomputed from. A policy says which evidence a release needs and who has to approve. Areas above produce evidence
and ask for the verdict; nothing here knows what a release is.
"""
