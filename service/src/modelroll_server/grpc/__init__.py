"""gRPC: the Open Inference Protocol, the PredictionService, health and reflection.

May import inference and what is below; must not know how a version is loaded, nor other transports. Importing it
imports grpc, which costs a quarter of a cold start: `app` does so after the HTTP ports listen.
"""
