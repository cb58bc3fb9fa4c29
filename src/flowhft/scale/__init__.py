"""Any number of paths: cut into spans, each judged anywhere, kept on its own, added up in a fixed order.

plan          which spans of paths there are; the same for any machine
span          judge one span: the moments of all policies over its paths
checkpoint    what is finished, one file a span, whole or not at all
drive         do what is not done yet, here or on a cluster, and add it all up
cluster       spans as tasks of a Ray cluster
pool          the same in processes on the cores of this machine
worker        what runs there
"""
