"""Stages: what a command does, as a function that the command line, a study and a notebook call alike.

Their results are objects, in memory; in `folders` the same and all others leave a run folder.

policies    what a user gives for a policy -> something that quotes in the lab and at the desk
evaluate    policies in simulated markets, paired on the same random numbers
backtest    policies on a recording, through queues, latency and fees
imitate     demonstrations -> a policy
learn       recordings -> a maker that sees the order book
adapt       a policy -> the same with a small map behind it that suits a market
costs       the same replays again at other fees and latencies, and with fills booked otherwise
booked      how the fills of a replay are booked: in words, and four ways
export      a policy -> an ONNX file
folders/    a stage each: settings -> a finished run folder, resumed where it was interrupted
folder      where that is, what identifies it, whether it is already done
stage       the settings that all have, and who listens
teachers    the best expert of each scenario, chosen now or by a run before
notes       what a person should know while a stage runs
"""
