"""The peers' environments: one each, under the cache directory, with the versions of peers.toml.

Owns installing, and what is said when a peer cannot be installed. Knows nothing of how a peer is started.
"""

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

from benchmarks import places

FILE = places.BENCHMARKS / "peers.toml"
OF_INTEREST = {"scikit-learn", "numpy", "pandas", "uvicorn", "fastapi", "pydantic", "starlette", "grpcio"}
_COMPLETE = "complete.json"
_FAILED = "failed.txt"


def requirements() -> dict[str, list[str]]:
    """What each peer's environment holds, by the peer's name."""
    document = tomllib.loads(FILE.read_text())
    common = document.pop("common")["requirements"]
    return {name: [*peer["requirements"], *common] for name, peer in document.items()}


def place(name: str) -> Path:
    """Where its environment is, or will be."""
    return places.cache() / "peers" / name


def absent(name: str) -> str | None:
    """Why it cannot be measured: not set up, or not installable here."""
    if (place(name) / _COMPLETE).exists():
        return None
    failed = place(name) / _FAILED
    return failed.read_text() if failed.exists() else "not set up: python -m benchmarks setup"


def versions(name: str) -> dict[str, str]:
    """What its environment holds of interest; empty when it is not there."""
    complete = place(name) / _COMPLETE
    if not complete.exists():
        return {}
    held: dict[str, str] = json.loads(complete.read_text())["held"]
    asked = {one.partition("==")[0].partition("[")[0] for one in requirements()[name]}
    return {package: version for package, version in sorted(held.items()) if package in OF_INTEREST | asked}


def set_up(name: str) -> str | None:
    """Make its environment if it is not there as it is asked for; the reason when that fails."""
    asked = requirements()[name]
    complete = place(name) / _COMPLETE
    if complete.exists() and json.loads(complete.read_text())["asked"] == asked:
        print(f"{name}: there, {place(name)}", flush=True)
        return None
    print(f"{name}: installing {' '.join(asked)} into {place(name)}", flush=True)
    shutil.rmtree(place(name), ignore_errors=True)
    python = str(place(name) / "bin" / "python")
    try:
        _uv("venv", "--quiet", "--python", "3.11", str(place(name)))
        _uv("pip", "install", "--quiet", "--python", python, *asked)
        held = json.loads(_uv("pip", "list", "--quiet", "--format", "json", "--python", python))
    except subprocess.CalledProcessError as error:
        reason = f"cannot be installed here: {error.stderr.strip()}"
        print(f"{name}: {reason}", flush=True)
        place(name).mkdir(parents=True, exist_ok=True)
        (place(name) / _FAILED).write_text(reason)
        return reason
    found = {one["name"]: one["version"] for one in held}
    complete.write_text(json.dumps({"asked": asked, "held": found}))
    return None


def _uv(*arguments: str) -> str:
    """Run uv as niced as it can be; nothing of the project's own environment is touched."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    said = subprocess.run(
        ["nice", "uv", *arguments],
        env=environment,
        cwd=places.cache().parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout
