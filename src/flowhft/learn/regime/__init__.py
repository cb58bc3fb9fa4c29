"""The regime-conditioned adapter: trained once over a broad random family of markets.

family     random scenarios, none of them a test cell
worlds     paths of their prices, with what is known of every move before it
bank       what a policy senses along these paths, and what happens to its orders there
law        the exact law of inventory and wealth along a path, for any quotes that are lines in the inventory
score      how good a policy is against the best expert of the same scenario
train      the network, its optimiser, checkpoints, and the held-out table by which the dial is chosen
"""
