"""A program that kills, or overtakes, one of three processes of a shared job before each change that it makes to files.

Writes how many such changes there are. In children of a process without threads: to start one anew takes a second.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import job, shares
from modelroll_server.offline.options import Options, Share
from offline_jobs import Parity, Silent, answering, expected, names, predicted, rows

CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}
SYNCED = "open"  # files are opened by path here to have them written to the disk
INDEXES = 3
REFUSED = 3  # what a process ends with that says why
GOOD = [row for at, row in enumerate(rows(345)) if at not in {150, 320}]


def run(source: str, out: str, index: int, survive: int, number: signal.Signals) -> None:
    """One index, that gets a signal after so many changes."""
    left = survive

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in CHANGES or (event == SYNCED and str(arguments[0]).startswith(out)):
            if left == 0:
                os.kill(os.getpid(), number)
            left -= 1

    sys.addaudithook(count)
    order = job.Order(source, out)
    try:
        shares.run(
            order, Share(index, INDEXES, "run"), answering(Parity()), Options(chunk=50, shard_rows=100), Silent()
        )
    except BatchFailed:
        os._exit(REFUSED)


def begun(work: Callable[[], None]) -> int:
    """Do it in a child: its process."""
    process = os.fork()
    if process == 0:
        work()
        os._exit(0)
    return process


def ended(process: int) -> int:
    """By which signal it was ended or stopped, 0 if it was not."""
    _, status = os.waitpid(process, os.WUNTRACED)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) not in {0, REFUSED}:
        sys.exit(f"a run ended with {os.WEXITSTATUS(status)}")
    if os.WIFSTOPPED(status):
        return os.WSTOPSIG(status)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def done(work: Callable[[], None]) -> None:
    """Do it in a child that must come to its end well."""
    _, status = os.waitpid(begun(work), 0)
    if status:
        sys.exit(f"what went on ended with {status}")


def check(out: str) -> None:
    """Fail unless the output has just these rows, and their answers."""
    place = Path(out)
    assert predicted(place) == expected(GOOD)
    assert names(place.parent) == sorted(["out.parquet", "out.parquet.parts", "out.rejects.parquet", "rows.parquet"])


def clear(out: str) -> None:
    """Leave nothing of an earlier round."""
    shutil.rmtree(f"{out}.parts", ignore_errors=True)
    for left in Path(out).parent.glob("out.*"):
        left.unlink()


def main() -> None:
    """At each step of an index: killed or stopped there, the work done by others, and let go on."""
    source, out = sys.argv[1:]
    whole = [partial(run, source, out, index, -1, signal.SIGKILL) for index in range(INDEXES)]
    steps = 0
    others = Path(tempfile.mkdtemp(), "parts")
    clear(out)
    done(whole[0])
    done(whole[2])
    shutil.copytree(f"{out}.parts", others)
    for is_last in (False, True):  # the index in question begins before the others, or when they are done
        for survive in range(1000):
            clear(out)
            if is_last:
                shutil.copytree(others, f"{out}.parts")
            number = (signal.SIGKILL, signal.SIGSTOP)[survive % 2]
            process = begun(partial(run, source, out, 1, survive, number))
            signalled = ended(process)
            for each in (whole[1],) if is_last else (whole[0], whole[2], whole[1]):
                done(each)
            check(out)
            if not signalled:
                break
            if number is signal.SIGSTOP:
                os.kill(process, signal.SIGCONT)
                ended(process)
                check(out)
            done(whole[1])  # once more: it was evicted when all was done
            assert names(Path(f"{out}.parts")) == ["_assembled.json"]
            steps += 1
    shutil.rmtree(others.parent)
    sys.stdout.write(str(steps))


def at_once() -> None:
    """All begin in the same moment, twice each."""
    source, out = sys.argv[1:]
    for _ in range(5):
        clear(out)
        every = [begun(partial(run, source, out, at % INDEXES, -1, signal.SIGKILL)) for at in range(2 * INDEXES)]
        assert not any(os.waitpid(process, 0)[1] for process in every)
        check(out)


if __name__ == "__main__":
    main()
    at_once()
