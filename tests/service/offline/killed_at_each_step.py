"""A program that kills a batch job before each change that it makes to the file system, and has another go on.

Then it has one killed within each file that it writes. Writes how many such changes there are, and the names of such
files. In children of a process without threads: to start one anew takes a second.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
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
RENAMED = "os.rename"
LIMITED = "resource.setrlimit"
GOOD = [at for at in range(345) if at not in {150, 320}]

Hook = Callable[[str, tuple[object, ...]], None]


def survive(count: int, out: str) -> Hook:
    """To survive no more than so many changes."""
    left = count

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in CHANGES or (event == SYNCED and str(arguments[0]).startswith(out)):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    return hook


def note(place: Path) -> Hook:
    """To write the name and size of each file that is put in its place, in order."""
    found: list[tuple[str, int]] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == RENAMED:
            found.append((Path(str(arguments[1])).name, Path(str(arguments[0])).stat().st_size))
            place.write_text(json.dumps(found))

    return hook


def stop_within(file: int, limit: int) -> Hook:
    """To be killed when so many bytes of the next file are written after so many were put in their places."""
    left = file

    def hook(event: str, _: tuple[object, ...]) -> None:
        nonlocal left
        if event == RENAMED:
            left -= 1
        if left == 0 and event != LIMITED:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return hook


def run(source: str, out: str, hook: Hook | None = None) -> None:
    """One run, of which the hook is told whatever it does."""
    parts = Path(f"{out}.parts")
    is_done = Path(out).exists() and not (parts.exists() and names(parts))  # the run before was killed at the end
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # who writes beyond the limit is killed, not told
    if hook is not None:
        sys.addaudithook(hook)
    options = Options(chunk=50, shard_rows=200)
    try:
        job.run(job.Order(source, out), answering(Parity()), options, Silent())
    except BatchFailed as error:
        if not is_done or str(error) != f"{out} is there: say --overwrite to replace it":
            raise


def check(out: str) -> None:
    """Fail unless the output has just the good rows, and their answers, and nothing else is left."""
    place = Path(out)
    every = [row for at, row in enumerate(rows(345)) if at in set(GOOD)]
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


def clear(out: str) -> None:
    """Leave nothing of an earlier round."""
    shutil.rmtree(f"{out}.parts", ignore_errors=True)
    for left in Path(out).parent.glob("out.*"):
        left.unlink()


def at_each_step(source: str, out: str) -> int:
    """At each step: killed there, killed again early in the run after that, then let go on to its end."""
    steps = 0
    while True:
        clear(out)
        was_killed = child(partial(run, source, out, survive(steps, out)))
        if was_killed:
            child(partial(run, source, out, survive(steps % 5, out)))
            child(partial(run, source, out))
        child(partial(check, out))
        if not was_killed:
            return steps
        steps += 1


def within_each_file(source: str, out: str) -> list[str]:
    """Within each file, after so many bytes by chance: killed there, then let go on to its end."""
    clear(out)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory, "written.json")
        child(partial(run, source, out, note(place)))
        written = json.loads(place.read_text())
    chance = random.Random(0)
    for before, (_, size) in enumerate(written):
        clear(out)
        limit = chance.randrange(size * 9 // 10)  # times of day are not always of one length
        assert child(partial(run, source, out, stop_within(before, limit))) == signal.SIGXFSZ
        left = [file.stat().st_size for file in Path(f"{out}.parts").glob("_tmp-*")]
        assert limit in left
        child(partial(run, source, out))
        child(partial(check, out))
    return [name for name, _ in written]


def main() -> None:
    """Both."""
    source, out = sys.argv[1:]
    sys.stdout.write(json.dumps([at_each_step(source, out), within_each_file(source, out)]))


if __name__ == "__main__":
    main()
