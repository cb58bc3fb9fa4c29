"""Policies as jax runs them: any object with `init` and `act` for one path (see `flowhft.types.Policy`).

lab             policies as data -> what quotes in a scenario: `in_lab`
closed_form     a rule with its coefficients; another policy with an adapter behind it
agent           the actor network that reinforcement learning left behind
regime_adapted  a flow policy with the network behind it that works out a map for every moment
delayed         another policy whose decisions reach the market some steps later
"""

from flowhft.simulate.quoting.closed_form import Adapted, ClosedForm, closed_form
from flowhft.simulate.quoting.lab import in_lab

__all__ = ["Adapted", "ClosedForm", "closed_form", "in_lab"]
