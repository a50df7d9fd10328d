"""A program that runs `modelroll batch` as often as it is asked to; `put`, which uploads a file; `policy`; `uploads`.

Each time in a child of a process that has everything imported, and no threads: to start one anew takes seconds. A line
of JSON asks for it; the answer is a line with the child's process, and one with what it ended with.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.csv
import pyarrow.parquet  # noqa: F401 - imported for the children, as are the next ones
import s3fs  # type: ignore[import-not-found] # noqa: F401 - of another environment
from aiobotocore.client import AioBaseClient  # type: ignore[import-not-found]

from modelroll_server.cli import main as cli
from modelroll_server.offline import shares  # noqa: F401
from modelroll_server.registry import loader  # noqa: F401
from modelroll_server.runtimes import onnx  # noqa: F401


def kill_before(survive: int, operations: list[str]) -> None:
    """Kill this process before it asks for one more of these operations than so many."""
    call, left = AioBaseClient._make_api_call, survive  # noqa: SLF001 - all calls pass there

    def counted(self: Any, operation: str, parameters: Any) -> Any:
        nonlocal left
        if operation.startswith(tuple(operations)):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return call(self, operation, parameters)

    AioBaseClient._make_api_call = counted  # noqa: SLF001


def run(arguments: list[str], variables: dict[str, str | None], said: str, kill: Any) -> int:
    """Do it, in a child."""
    with Path(said).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    fsspec.config.set_conf_env(fsspec.config.conf)  # which was done when it was imported
    if kill is not None:
        kill_before(*kill)
    if arguments[0] == "put":
        fs, path = fsspec.core.url_to_fs(arguments[2])
        fs.put_file(arguments[1], path)
        return 0
    if arguments[0] == "policy":
        fsspec.filesystem("s3").call_s3("put_bucket_policy", Bucket=arguments[1], Policy=arguments[2])
        return 0
    if arguments[0] == "uploads":  # that were begun in a bucket, and not ended
        found = fsspec.filesystem("s3").call_s3("list_multipart_uploads", Bucket=arguments[1])
        for one in found.get("Uploads", []):
            sys.stdout.write(f"{one['Key']}\n")
        return 0
    try:
        cli(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def main() -> None:
    """One after the other."""
    for line in sys.stdin:
        asked = json.loads(line)
        process = os.fork()
        if process == 0:
            code = 70
            try:
                code = run(**asked)
            except BaseException:  # noqa: BLE001 - nothing may go on in the child
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _say(process)
        _, status = os.waitpid(process, 0)
        _say(os.waitstatus_to_exitcode(status))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
