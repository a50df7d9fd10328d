"""The equality check: whether a compiled model may answer in scikit-learn's place.

Asks both the rows where the two could part and compares what they say: the samples, the edges of every column, both
sides of every tree's thresholds and of the borders between labels, ties, and random rows. It says *checked on N rows*,
never *proven*. Must not know how the model was compiled, nor what becomes of the answer.
"""

from modelroll_server.packing.equality.checking import check
from modelroll_server.packing.equality.subject import Difference, Differs, Equal, Subject

__all__ = ["Difference", "Differs", "Equal", "Subject", "check"]
