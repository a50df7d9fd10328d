"""The inputs of one model: what each column may hold, and JSON turned into rows and columns.

Owns the rules of values and the sentence that a caller reads. Knows nothing of HTTP, and nothing of the estimator:
`packing` found out what that refuses and wrote it into the inputs.
"""

from modelroll_server.schema.checks import Refused, checker
from modelroll_server.schema.inputs import Histogram, Input, Scalar
from modelroll_server.schema.schema import Row, Schema, rows_of

__all__ = ["Histogram", "Input", "Refused", "Row", "Scalar", "Schema", "checker", "rows_of"]
