"""The Open Inference Protocol (V2) apart from its transports: tensors to rows, answers to tensors, metadata.

HTTP and gRPC write the same protocol in different letters; what they share is here. May import inference and what is
below; must not know a transport.
"""
