"""The desk: what trades. Nothing here needs jax.

    observer -> policy -> order_rules -> risk -> venue -> account -> journal

compiled/   a policy as two flat arrays that numba quotes with, in microseconds
observer    what is known of the market at a decision
order_rules what is asked of the venue so that a quote stands
risk        limits that requests must pass
account     what we own, told by the venue
steps       one step of all that, compiled
session     the loop, in plain Python, over a thin venue
journal     steps, fills and orders on disk, as they happen
replay/     the loop compiled, over recordings, queue by queue and tick by tick
"""
