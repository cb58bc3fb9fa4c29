"""Stages: what a command does, as a function that the command line, a study and a notebook call alike.

policies    what a user gives for a policy -> something that quotes in the lab and at the desk
evaluate    policies in simulated markets, paired on the same random numbers
backtest    policies on a recording, through queues, latency and fees
imitate     demonstrations -> a policy
adapt       a policy -> the same with a small map behind it that suits a market
costs       the same replays again at other fees and latencies
"""
