"""Tasks: here one after the other, in processes of this machine, or on a Ray cluster.

task      what a task is, who does tasks, and doing them here
pool      in processes on the cores of this machine
cluster   as tasks of a Ray cluster
worker    what runs there

Nothing here knows what is done: paths, moments and recordings are of those who ask.
"""
