"""A real Prometheus that scrapes and evaluates what a test gives it, on a port of its own."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

import ports

STARTUP_SECONDS = 60.0
T = TypeVar("T")


class PrometheusProcess:
    """One Prometheus. It scrapes and evaluates every second."""

    def __init__(self, directory: Path, targets: Mapping[str, tuple[int, Mapping[str, str]]], rules: Any) -> None:
        port = ports.reserve()
        jobs = [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{at}"], "labels": dict(labels)}]}
            for job, (at, labels) in targets.items()
        ]
        often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        configuration = {"global": often, "rule_files": ["rules.yaml"], "scrape_configs": jobs}
        for name, document in (("rules", rules), ("prometheus", configuration)):
            (directory / f"{name}.yaml").write_text(json.dumps(document))  # JSON is YAML enough
        self._log = directory / "log"
        command = ["prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data"]
        with self._log.open("wb") as file:
            self.process = subprocess.Popen(
                [*command, f"--web.listen-address=127.0.0.1:{port}"], cwd=directory, stdout=file, stderr=file
            )
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        self.wait_for(self._is_ready, STARTUP_SECONDS)

    def end(self) -> None:
        """End it without a word."""
        self._client.close()
        self.process.kill()
        self.process.wait()

    def _is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector that an expression gives now."""
        answer = self._client.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def firing(self) -> dict[str, dict[str, str]]:
        """The labels of the alerts that fire, by their names."""
        alerts = self._client.get("/api/v1/alerts").json()["data"]["alerts"]
        return {one["labels"]["alertname"]: one["labels"] for one in alerts if one["state"] == "firing"}

    def wait_for(self, what: Callable[[], T], seconds: float = 60.0) -> T:
        """Look until there is something, or fail with the log."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if found := what():
                return found
            time.sleep(0.1)
        raise AssertionError(f"it did not happen; exit code {self.process.poll()}\n{self._log.read_text()}")


@contextlib.contextmanager
def running(
    directory: Path, targets: Mapping[str, tuple[int, Mapping[str, str]]], rules: Any
) -> Iterator[PrometheusProcess]:
    """A Prometheus for the time of a block.

    Args:
        directory: Where it keeps what it has.
        targets: What it scrapes: by the job's name, the port, and the labels that the cluster would add.
        rules: A file of rules.
    """
    directory.mkdir()
    prometheus = PrometheusProcess(directory, targets, rules)
    try:
        yield prometheus
    finally:
        prometheus.end()
