"""A machine of fakes: PATH with programs that answer as told, so that no test needs Docker, root or a cluster."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL_PROGRAMS = (
    "awk", "basename", "bash", "cat", "cut", "dirname", "git", "grep", "mkdir", "readlink", "sed", "sha256sum", "sort",
    "timeout", "tr", "true", "rm",
)  # fmt: skip


class Machine:
    """What `hack/cluster` finds around it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._bin = home / "bin"
        self._bin.mkdir()
        self.calls = home / "calls"
        self.calls.touch()
        for name in REAL_PROGRAMS:
            (self._bin / name).symlink_to(_which(name))
        self.program("id", "echo 0")
        self.devcluster(built=False)

    def program(self, name: str, script: str) -> None:
        """Put a program on PATH; each call of it is noted in `calls`."""
        path = self._bin / name
        path.unlink(missing_ok=True)
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>{self.calls}\n{script}\n')
        path.chmod(0o755)

    def devcluster(self, *, built: bool) -> None:
        """Say whether the binaries of devcluster are there."""
        self.program("devcluster", f'[ "$1" != built ] || exit {0 if built else 1}')

    def docker(self, *, answers: bool) -> None:
        """Install Docker, with or without a daemon, and kind."""
        self.program("docker", f"exit {0 if answers else 1}")
        self.program("kind", "echo kind v0.30.0 go1.24.6 linux/amd64")

    def cluster(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `hack/cluster` on this machine."""
        return self._run("cluster", *arguments, **environment)

    def with_helm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `hack/with-helm` on this machine, on which no devcluster was built."""
        return self._run("with-helm", *arguments, DEVCLUSTER_HOME=str(self._home / "devcluster"))

    def _run(self, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "hack" / name, *arguments],
            env={
                "PATH": str(self._bin),
                "HOME": str(self._home),
                "DEVCLUSTER": str(self._bin / "devcluster"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def _which(name: str) -> str:
    for folder in os.get_exec_path():
        if (found := Path(folder) / name).exists():
            return str(found)
    raise AssertionError(name)
