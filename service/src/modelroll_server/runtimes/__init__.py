"""What computes: a file of an artifact turned into something that answers tables.

May import artifact, schema and tensors; must not know who asks, nor which version is live.
"""
