"""What a person may choose of a batch job, and what is recorded of it."""

from dataclasses import dataclass
from typing import Literal

import msgspec

CHUNK = 10_000
SHARD_ROWS = 2**18


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The choices that the output depends on: a job that goes on has to be told the same.

    Attributes:
        chunk: Rows that the model is given at once.
        per_class: Whether each class has a column of its probability.
        keep: Columns of the input that the output has, too; None: all.
        prefix: Put before the names of the columns that are added.
        delimiter: Between the values of a CSV.
        shard_rows: Rows that are committed together, about; or one row group, where that has more.
        bad_rows: Whether a row that the model cannot be given goes to the rejects, or ends the job.
    """

    chunk: int = CHUNK
    per_class: bool = False
    keep: list[str] | None = None
    prefix: str = ""
    delimiter: str = ","
    shard_rows: int = SHARD_ROWS
    bad_rows: Literal["reject", "fail"] = "reject"


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a job that is one process's.

    Attributes:
        index: Which, from 0.
        indexes: Of how many.
        run: What the processes of one run have in common, and no others: a Job's UID. Empty: nothing is known of it.
    """

    index: int
    indexes: int
    run: str = ""

    def has(self, shard: int) -> bool:
        """Whether a shard is of this index: every so many-th is, so that the shards of one file are of many."""
        return shard % self.indexes == self.index
