"""Which version is live, and how another one gets to be: targets, gates, and the atomic swap.

May import runtimes, artifact, schema and what is below; must not know transports.
"""
