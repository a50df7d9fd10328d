"""A candidate at work: a share of the requests is answered by it, others are computed by it too and compared.

Whatever it does costs no caller its answer.
"""
