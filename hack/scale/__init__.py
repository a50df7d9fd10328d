"""The operator at scale: a real API server, kwok's nodes, and a stand-in for what a thousand pods say."""
