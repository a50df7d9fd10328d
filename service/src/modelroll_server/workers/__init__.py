"""Several processes that answer on one port, and the parent that tells them all what to serve.

May import everything below the command line; nothing below knows of it.
"""
