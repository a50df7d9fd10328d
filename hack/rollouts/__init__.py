"""How long rollouts take on the cluster, and what callers notice of them."""
