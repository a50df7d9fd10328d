"""Events of a broker in, predictions out: at least one answer or dead letter for each, whatever dies meanwhile.

`events` is what the parts speak of, `handling` answers events over the one path, one module a broker reads and settles
them, `consuming` keeps that going. FastStream, and the clients that it brings, are imported only for the broker named.
"""
