"""Answers kept by row: in this process, in Redis or Valkey, and those being computed just now.

Owns keys, lifetimes, the bound on memory, and what happens when Redis does not answer: nothing that a caller sees but
the time that it would have saved. Knows nothing of versions or transports: it is given a schema, a way to compute, and
rows.
"""
