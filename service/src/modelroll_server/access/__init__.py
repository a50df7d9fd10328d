"""Who may call: the certificate that the server shows, and the tokens that callers show.

Both come from files, and change while they are used. It knows nothing of transports: each asks `Callers` with what its
caller sent.
"""
