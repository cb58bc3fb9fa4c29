"""Agents: what reinforcement learning leaves behind, as policies that quote in the lab.

view     what an agent sees of an observation, in ticks or in the units of a market that it is told
agent    the actor network, the scales around it, and the policy that they are
store    one agent for everywhere, or one a scenario, in one file

Training is in `flowhft.rl`; nothing here knows how an agent came about.
"""

from flowhft.agents.agent import Actor, Agent, Scales, first_spread, forward, quote_of, scaled
from flowhft.agents.store import FORMAT, Agents, alone, load_agents, merge_agents, save_agents
from flowhft.agents.view import IN_TICKS, VIEWS, Told, look, regime_of, told

__all__ = [
    "FORMAT",
    "IN_TICKS",
    "VIEWS",
    "Actor",
    "Agent",
    "Agents",
    "Scales",
    "Told",
    "alone",
    "first_spread",
    "forward",
    "load_agents",
    "look",
    "merge_agents",
    "quote_of",
    "regime_of",
    "save_agents",
    "scaled",
    "told",
]
