"""`modelroll batch --job`: a Kubernetes Job of it, made and followed with the user's own `kubectl`.

Reads no rows, and knows nothing of shards: the pods do.
"""
