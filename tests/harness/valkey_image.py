"""An image with a valkey-server for a cluster that pulls none: of the machine's own redis-server and its libraries."""

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import redis_process
from harness.cluster import ROOT, CommandFailed, run

DEVCLUSTER = str(ROOT / "hack" / "devcluster" / "devcluster")


def settings() -> dict[str, str]:
    """Chart values that name an image which this cluster has, or can pull."""
    if os.environ["CLUSTER"] != "devcluster":
        return {}
    program = redis_process.command()
    assert program is not None
    tag = hashlib.sha256(Path(program).read_bytes()).hexdigest()[:12]
    image = f"localhost/valkey-of-tests:{tag}"
    try:
        run("buildah", "inspect", "--type", "image", image)
    except CommandFailed:
        _build(Path(program), image)
    run(DEVCLUSTER, "load", image)
    return {"valkey.image.repository": "localhost/valkey-of-tests", "valkey.image.tag": tag}


def _build(program: Path, image: str) -> None:
    needed = re.findall(r"(/\S+) \(0x", run("ldd", str(program)))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        root.chmod(0o755)
        for path, copy in [(program, "usr/bin/valkey-server"), *((Path(one), one.removeprefix("/")) for one in needed)]:
            (root / copy).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / copy)
        container = run("buildah", "from", "scratch").strip()
        run("buildah", "add", "--quiet", container, str(root), "/")
        run("buildah", "config", "--env", "PATH=/usr/bin", container)
        run("buildah", "commit", "--quiet", container, image)
        run("buildah", "rm", container)
