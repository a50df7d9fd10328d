"""What a run was measured on: the machine, the commit, the versions; and which core is whose."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import msgspec
import psutil

from benchmarks import places

OF_INTEREST = (
    "modelroll-server", "scikit-learn", "numpy", "onnxruntime", "uvicorn", "uvloop", "httptools", "fastapi", "pydantic",
    "msgspec", "grpcio",
)  # fmt: skip


class TooFewCores(Exception):
    """The load would take the server's time."""


class Machine(msgspec.Struct, frozen=True):
    """The hardware and the kernel."""

    cpu: str
    cores: int
    memory_gib: float
    system: str


class Source(msgspec.Struct, frozen=True):
    """What of modelroll was measured."""

    commit: str
    changed: bool
    """Whether tracked files differed from the commit."""


@functools.cache
def cores() -> tuple[int, int]:
    """The server's core and the load's: of those that this process had when it was first asked.

    Raises:
        TooFewCores: This process may run on one core only.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise TooFewCores("the benchmarks need two cores: one for the server, one for the load")
    return allowed[0], allowed[1]


def on_core(core: int, command: list[str]) -> list[str]:
    """The command, confined to a core from its first instruction on."""
    return ["taskset", "--cpu-list", str(core), *command]


def this() -> Machine:
    """The machine that this runs on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = round(psutil.virtual_memory().total / 2**30, 1)
    return Machine(cpu, os.cpu_count() or 0, memory, f"{platform.system()} {platform.release().partition('-')[0]}")


def source() -> Source:
    """The commit of the working tree."""
    commit = _git("rev-parse", "HEAD").strip()
    return Source(commit, bool(_git("status", "--porcelain", "--untracked-files=no").strip()))


def has_same_servers(commit: str) -> bool:
    """Whether what is measured, and by whom, is now what it was at `commit`."""
    measured = ("service", "benchmarks/servers", "benchmarks/subjects", "uv.lock")
    done = subprocess.run(["git", "diff", "--quiet", commit, "--", *measured], cwd=places.ROOT, check=False)
    return done.returncode == 0


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=places.ROOT, capture_output=True, text=True, check=True).stdout


def versions() -> dict[str, str]:
    """Of Python and of the packages that matter, in the environment of modelroll, the bare and the tutorial server."""
    found = {"python": platform.python_version()}
    for name in OF_INTEREST:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
