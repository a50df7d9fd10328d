"""gRPC: the Open Inference Protocol, the PredictionService, health and reflection.

May import inference and what is below; must not know how a version is loaded, nor other transports. Importing it
imports grpc, which costs a quarter of a cold start: `app` does so after the HTTP ports listen.
"""

import os

# Sockets are read by the thread that hands over what came, not by a pool of others that wake it: a message of a stream
# costs a third less, and a call a fifth. grpc reads this once, when it is imported; what the environment says wins.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
# Its handlers of a fork would look at grpc's threads whenever a version is tried in a process of its own, and complain.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
