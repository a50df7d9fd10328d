"""Making artifacts, and checking them: what a person does before a server is asked.

May import everything that loads models; must not know the server, its registry or its transports.
"""
