"""Bringing artifacts onto a volume of a cluster: both ends of `modelroll push`.

Loads no model, and knows nothing of servers.
"""
