"""The desk: what trades. Nothing here needs jax.

compiled/   a policy as two flat arrays that numba quotes with, in microseconds
replay/     policies quote into a recording, queue by queue and tick by tick
"""
