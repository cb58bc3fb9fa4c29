"""Stages that leave a run folder: settings, and `run(settings, listener)`.

A command of the same name prints what is in it; a study and a notebook call the same function:

    from flowhft.stages.folders import evaluate

    folder = evaluate.run(evaluate.Evaluate(scenarios="T1.HH", policies="glft,flowhft", paths=2_000))

`run` returns the folder, finished; the listener (`flowhft.stages.stage.Listener`) is told how it goes. What
is done already is not done again, and what was interrupted goes on where it was.

calibrate     a recording -> a market with error bars, and scenarios around it
simulate      policies in simulated markets, every step kept
select        the best expert of every scenario
demonstrate   what the best experts see and quote
imitate       demonstrations -> a policy
learn         recordings -> a maker that sees the order book
distil        a policy of many steps -> one of a single evaluation
ppo           agents by trial and error
adapt         a policy -> the same with a small map behind it that suits a market
train         the network that adapts a policy to whatever market it senses
tune          experts, fitted to every scenario
evaluate      policies in simulated markets, paired on the same random numbers
frontier      the exact optimum at every risk aversion, and policies beside it
backtest      policies on a recording, through queues, latency and fees
freeze        a policy -> arrays that quote in microseconds
"""
