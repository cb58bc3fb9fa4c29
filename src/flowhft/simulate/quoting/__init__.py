"""Policies in the lab: experts, learned policies and adapters as things that quote in a rollout.

A policy is any object with `init() -> memory` and `act(memory, observation, key) -> (quote, memory)` for
one path (see `flowhft.types.Policy`). A *source* turns a scenario into the policy that quotes there, since
experts are told the market and learned policies are not.

closed_form   an expert with its coefficients as a policy; another policy with an adapter behind it
source        what every kind of source offers, the kinds that exist, and a source with its name
tuned         closed forms fitted scenario by scenario, and their file
delayed       another policy whose decisions reach the market some steps later
options       what stands in brackets behind a name: `runs/x[steps=1,execute=4]`, `glft[delay=2]`
find          what a user writes (`glft@0.01`, `label=runs/x`) -> named policies
"""

from flowhft.simulate.quoting.closed_form import Adapted, ClosedForm, closed_form
from flowhft.simulate.quoting.find import find_policies, find_policy
from flowhft.simulate.quoting.source import Named, Source, delay_all, tune

__all__ = [
    "Adapted",
    "ClosedForm",
    "Named",
    "Source",
    "closed_form",
    "delay_all",
    "find_policies",
    "find_policy",
    "tune",
]
