"""Rollouts as a person at a terminal sees them: what ModelVersions say, read and changed by the user's `kubectl`.

Knows nothing of models, servers, or how an operator decides.
"""
