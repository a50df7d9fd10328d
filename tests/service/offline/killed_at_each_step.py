"""A program that kills a batch job before each change that it makes to the file system, and has another go on.

Writes how many such changes there are. In children of a process without threads: to start one anew takes a second.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import job
from modelroll_server.offline.options import Options
from offline_jobs import Parity, Silent, answering, expected, names, predicted, rows

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
SYNCED = "open"  # files are opened by path here to have them written to the disk


def run(source: str, out: str, survive: int) -> None:
    """One run, that does not survive more than so many changes."""
    parts = Path(f"{out}.parts")
    is_done = Path(out).exists() and not (parts.exists() and names(parts))  # the run before was killed at the end
    left = survive

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in CHANGES or (event == SYNCED and str(arguments[0]).startswith(out)):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(count)
    options = Options(chunk=50, shard_rows=200)
    try:
        job.run(job.Order(source, out), answering(Parity()), options, Silent())
    except BatchFailed as error:
        if not is_done or str(error) != f"{out} is there: say --overwrite to replace it":
            raise


def check(out: str, good: list[int]) -> None:
    """Fail unless the output has just these rows, and their answers, and nothing else is left."""
    place = Path(out)
    every = [row for at, row in enumerate(rows(345)) if at in set(good)]
    if place.suffix == ".parquet":
        assert predicted(place) == expected(every)
    else:
        assert [line.split(",")[0] for line in place.read_text().splitlines()[1:]] == [
            f'"{row["id"]}"' for row in every
        ]
    assert names(place.parent) == sorted([f"out.rejects{place.suffix}", place.name, "rows.parquet"])


def child(work: Callable[[], None]) -> int:
    """Do it in a child: by which signal it was killed, 0 if it was not."""
    process = os.fork()
    if process == 0:
        work()
        os._exit(0)
    _, status = os.waitpid(process, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"a run ended with {os.WEXITSTATUS(status)}")
    return os.WTERMSIG(status)


def main() -> None:
    """At each step: killed there, killed again early in the run after that, then let go on to its end."""
    source, out = sys.argv[1:]
    good = [at for at in range(345) if at not in {150, 320}]
    for survive in range(1000):
        shutil.rmtree(f"{out}.parts", ignore_errors=True)
        for left in (out, str(Path(out).with_suffix(f".rejects{Path(out).suffix}"))):
            Path(left).unlink(missing_ok=True)
        was_killed = child(partial(run, source, out, survive))
        if was_killed:
            child(partial(run, source, out, survive % 5))
            child(partial(run, source, out, 10_000))
        child(partial(check, out, good))
        if not was_killed:
            sys.stdout.write(str(survive))
            return


if __name__ == "__main__":
    main()
