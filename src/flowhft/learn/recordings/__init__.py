"""Policies that learn from recordings: heads for the fills that orders would have had, and what follows.

examples  a recording's decisions: signals, and what became of every order that could have been sent
heads     signals -> probability of a fill, and edge given a fill
gate      which sides are worth quoting at all
fit       all of it: examples -> a policy
"""
