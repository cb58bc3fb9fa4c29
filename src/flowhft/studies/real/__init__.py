"""Real recordings: every policy on every one, learned on its first part and judged on the rest.

stages     of one recording, a run folder each
reproduce  all recordings, and the page
findings   what the stages of the recordings left, as tables
sentences  what the tables come to, in plain words: losses are said as losses
document   the page docs/real-markets.md, in blocks
"""
