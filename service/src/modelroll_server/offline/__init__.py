"""Batch inference: a file of rows in, the same rows with their predictions out, in shards that survive a kill.

Owns files: how they are cut into shards, read, written and put together. What a value may be and what is answered is
said by the same `schema` and computed by the same `runtimes` as a server's.
"""
