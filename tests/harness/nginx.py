"""A real nginx on the node, in front of the pods of a release, with a configuration of k8s/nginx as it is shipped.

As the image does it, `${…}` is put in. An nginx before 1.27.3 (Debian 12 has 1.22) looks names up only when it reads
its configuration: for such a one each `server NAME resolve` becomes the addresses that the name has, and it is told to
read them again when they change.
"""

import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

import ports
from harness.cluster import ROOT
from harness.waiting import wait_until

CONFIGURATIONS = ROOT / "k8s" / "nginx"
LOOKED_UP_EVERY = 2.0  # seconds: as `valid` in proxy.conf.template has it
MAIN = """\
daemon off;
user root;
worker_processes 2;
pid {place}/nginx.pid;
error_log {place}/error.log warn;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    include {place}/conf.d/*.conf;
}}
"""
SERVER = re.compile(r"^ *server ([-a-z]+)\.\S+:8000 resolve(.*);$", re.MULTILINE)

Names = Callable[[], Mapping[str, Sequence[str]]]


def command() -> str | None:
    """Where nginx is; it is not on everybody's PATH."""
    return shutil.which("nginx") or shutil.which("/usr/sbin/nginx")


def looks_up_names() -> bool:
    """Whether it knows `resolve` in an upstream."""
    said = subprocess.run([command() or "nginx", "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said)
    assert found is not None, said
    return tuple(map(int, found.groups())) >= (1, 27, 3)


class Nginx:
    """One nginx, until the end of the block."""

    def __init__(self, directory: Path, strategy: str, namespace: str, nameserver: str, names: Names) -> None:
        """Not started yet.

        Args:
            directory: Empty; its configuration and log.
            strategy: A directory of k8s/nginx.
            namespace: Of the release.
            nameserver: Address of the cluster's DNS.
            names: What each Service's name stands for now, without namespace and port.
        """
        self.port = ports.reserve()
        self._place = directory
        self._names = names
        self._known: Mapping[str, Sequence[str]] = {}
        self._variables = {"NAMESPACE": namespace, "NGINX_LOCAL_RESOLVERS": nameserver}
        self._templates = (
            CONFIGURATIONS / "base/proxy.conf.template",
            CONFIGURATIONS / strategy / "upstream.conf.template",
        )
        self._resolves = looks_up_names()

    def __enter__(self) -> Self:
        (self._place / "conf.d").mkdir()
        (self._place / "nginx.conf").write_text(MAIN.format(place=self._place))
        self._write()
        self._process = subprocess.Popen([command() or "nginx", "-c", str(self._place / "nginx.conf")])
        wait_until(self._answers, what="nginx answers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=60)

    @property
    def log(self) -> str:
        """What it wrote about itself, and about pods that did not answer."""
        return (self._place / "error.log").read_text()

    def look(self) -> None:
        """Have it read the names again, if they stand for something else and it does not do that by itself."""
        if not self._resolves and self._names() != self._known:
            self._write()
            self._process.send_signal(signal.SIGHUP)

    @contextmanager
    def following(self) -> Iterator[None]:
        """Look every two seconds, for the length of the block."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(LOOKED_UP_EVERY):
                self.look()

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _write(self) -> None:
        self._known = self._names()
        for template in self._templates:
            text = template.read_text().replace("listen 8080;", f"listen {self.port};")
            if not self._resolves:
                text = SERVER.sub(self._addresses, text)
                assert " resolve" not in text.replace("resolver ", "").partition("upstream ")[2]
            for name, value in self._variables.items():
                text = text.replace(f"${{{name}}}", value)
            (self._place / "conf.d" / template.stem).write_text(text)

    def _addresses(self, found: re.Match[str]) -> str:
        return "\n".join(f"    server {address}:8000{found[2]};" for address in self._known[found[1]])

    def _answers(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}/nginx").status_code == 204
        assert self._process.poll() is None, self.log
        return False
