"""What lies on the volume: versions, manifests, digests, and opening them without trusting them.

May import schema, tensors and errors; must not know how a model computes, nor who asks.
"""
