"""The lab: simulated markets, policies in jax, and the loops that run and evaluate them.

market/     price + arrivals + fills; what does not depend on the maker is drawn first
quoting/    policies as jax runs them
rollout     the one loop: policies in a market, path by path
evaluate    policies x scenarios, paired on the same random numbers
job, spans, drive, checkpoint    any number of paths: cut into spans, each kept on its own, added up in order
many        many policies in many scenarios at once, for searches
devices     how the lab uses the machine
"""
