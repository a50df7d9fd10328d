"""Who computes when: rows of many callers joined to batches, and batches given turns.

Owns queues, the bound on what waits, deadlines while waiting, and the threads that compute. Knows nothing of versions
or transports: it is given a schema, a runtime and rows.
"""
