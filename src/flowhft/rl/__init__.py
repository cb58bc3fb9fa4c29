"""Reinforcement learning: agents that learn to quote by trial and error in simulated markets.

settings      of training; without jax
environment   episodes of fixed length: a market with a reward, or a probe problem
advantage     generalised advantage estimation
ppo           proximal policy optimisation: what one update does
train         updates until done: curves, checkpoints, and the choice among seeds
"""
