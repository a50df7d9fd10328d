"""A program that runs batch jobs onto a disk that is full, has room again, and is read-only.

    unshare --map-root-user --mount python on_a_small_disk.py DIRECTORY

The disk is a tmpfs that nobody else sees, mounted in the directory; it ends with the process.
"""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import job
from modelroll_server.offline.options import Options
from offline_jobs import Parity, Silent, answering, expected, names, predicted, rows, table

ROWS = rows(20_000)
NO_SPACE = "No space left on device. What is finished is kept: run the same command again to go on"
READ_ONLY = "Read-only file system. What is finished is kept: run the same command again to go on"


class Disk:
    """The small disk, and a job that writes to it."""

    def __init__(self, directory: Path) -> None:
        self.place = directory / "disk"
        self.out = self.place / "out.parquet"
        self.parts = self.place / "out.parquet.parts"
        self._source = directory / "rows.parquet"
        pq.write_table(table(ROWS), self._source, row_group_size=2_000)
        self.place.mkdir()

    def mount(self, how: str) -> None:
        """Mount it so: `size=…` of so many bytes, in pages; `remount,…` changes it."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", how, "small", str(self.place)], check=True)

    def run(self, *, parts: bool = False) -> job.Summary:
        """Run the job, or what is left of it."""
        order = job.Order(str(self._source), str(self.out), parts=parts)
        return job.run(order, answering(Parity()), Options(chunk=500, shard_rows=2_000), Silent())

    def used(self) -> int:
        """Bytes."""
        found = os.statvfs(self.place)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def refused(self, place: Path, why: str) -> None:
        """Run the job, which ends with this sentence and nothing half-written."""
        with pytest.raises(BatchFailed, match=f"^{place} cannot be written: {why}$"):
            self.run()
        assert not self.out.exists()
        assert not self.parts.exists() or not [name for name in names(self.parts) if name.startswith("_tmp-")]

    def finished(self) -> int:
        """How many shards are."""
        return sum(name.startswith("_shard-") for name in names(self.parts))


def main() -> None:
    """Full among the shards, then at the end; read-only at the start, then half-way."""
    disk = Disk(Path(sys.argv[1]))
    disk.mount("size=64m")
    assert disk.run(parts=True).rows == len(ROWS)
    size = disk.used()
    assert disk.run().computed == 0
    disk.out.unlink()

    disk.mount("remount,ro")
    disk.refused(disk.parts, READ_ONLY)
    assert names(disk.place) == []

    disk.mount(f"remount,rw,size={size // 2}")
    disk.refused(disk.out, NO_SPACE)
    half = disk.finished()
    assert 0 < half < 10
    disk.refused(disk.out, NO_SPACE)
    disk.mount("remount,ro")
    disk.refused(disk.out, READ_ONLY)
    assert disk.finished() == half

    disk.mount(f"remount,rw,size={size * 5 // 4}")
    disk.refused(disk.out, NO_SPACE)
    assert disk.finished() == 10

    disk.mount("remount,size=64m")
    assert disk.run().computed == 0
    assert predicted(disk.out) == expected(ROWS)
    assert names(disk.place) == ["out.parquet"]


if __name__ == "__main__":
    main()
