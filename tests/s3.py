"""A real S3 server on a port of its own, to be killed and started again; and what a client of it needs.

The server is versitygw: a bucket is a directory, an object a file in it.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import brokers

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelroll/clients"
ACCESS, SECRET = "tests", "secret of the tests"
GUEST = "guest"  # may do what a bucket's policy says; with the same secret


def command() -> str | None:
    """The server that this machine has."""
    return shutil.which("versitygw") or shutil.which("versitygw", path=brokers.BUILT)


class S3(brokers.Process):
    """One server, whose objects stay when it is killed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        for name in ("buckets", "metadata", "users"):
            (directory / name).mkdir()
        guest = {"access": GUEST, "secret": SECRET, "role": "user"}
        (directory / "users" / "users.json").write_text(json.dumps({"accessAccounts": {GUEST: guest}}))
        self.start()

    def command(self) -> list[str]:
        """The program and its arguments."""
        program = command()
        assert program is not None
        users = ["--access", ACCESS, "--secret", SECRET, "--iam-dir", str(self.directory / "users")]
        # The metadata beside them: not every file system of /tmp has extended attributes.
        kept = ["--sidecar", str(self.directory / "metadata"), str(self.directory / "buckets")]
        return [program, "--port", f"127.0.0.1:{self.port}", "--quiet", *users, "posix", *kept]

    @property
    def variables(self) -> dict[str, str]:
        """What has clients find it, and tells them who they are."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_MAX_ATTEMPTS": "1",  # s3fs tries again by itself
        }

    def bucket(self, name: str) -> Path:
        """The directory of a bucket, made if it is not there."""
        place = self.directory / "buckets" / name
        place.mkdir(exist_ok=True)
        return place


def packages() -> Path:
    """What the extra `s3` needs that this environment has not, or not of that version: installed once.

    The two cannot be one environment (`conflicts` in pyproject.toml).
    """
    uv = shutil.which("uv")
    assert uv is not None, "uv is needed; `make test` brings it along"
    locked = ["--quiet", "--frozen", "--no-dev", "--no-emit-workspace", "--no-hashes", "--no-annotate", "--no-header"]
    export = [uv, "export", *locked, "--package", "modelroll-server", "--extra", "s3"]
    said = subprocess.run(export, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    wanted = "\n".join(line for line in said.splitlines() if not _is_installed(line))
    word = hashlib.sha256(f"{sys.implementation.cache_tag} {wanted}".encode()).hexdigest()[:16]
    place = CACHE / f"s3-{word}"
    if not place.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            whole = Path(directory, "whole")
            into = ["--python", sys.executable, "--target", str(whole), "--no-deps", "--compile-bytecode"]
            install = [uv, "pip", "install", "--quiet", *into, "--requirements", "-"]
            subprocess.run(install, input=wanted, check=True, text=True)
            with contextlib.suppress(OSError):  # another run was quicker
                whole.rename(place)
    return place


def _is_installed(requirement: str) -> bool:
    name, _, version = requirement.partition(";")[0].strip().partition("==")
    try:
        return importlib.metadata.version(name.partition("[")[0]) == version
    except importlib.metadata.PackageNotFoundError:
        return False
