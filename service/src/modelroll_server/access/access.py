"""What guards the ports of predictions: read once before they listen, and again whenever the files change.

A certificate that cannot be shown leaves the one before in use: to go on with it harms nobody. Tokens that cannot be
read leave nobody who may call: the ones before may have been taken away. Both are said in the log and to Prometheus for
as long as they last.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from modelroll_server import errors
from modelroll_server.access import certificate, mounted
from modelroll_server.access.callers import Callers
from modelroll_server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from modelroll_server.access.certificate import Current, Pair

LOOK_EVERY = 0.5  # seconds between two looks at the files; the kubelet brings changes within a minute or so

_log = structlog.get_logger(__name__)


class Access:
    """The guards of one process.

    Attributes:
        tls: What connections are begun with; None: they are in clear. There once it was loaded.
        callers: Who may call; None: everybody.
    """

    def __init__(
        self, tls: tuple[Path | None, Path | None], tokens: Path | None, own: Metrics, shared: Metrics
    ) -> None:
        """Guards, to be loaded.

        Args:
            tls: The directory with the certificate and its key, and the file of the clients' authorities.
            tokens: The directory with a file of tokens for each caller.
            own: Where requests are counted.
            shared: Where is said what is the same for all processes of a server.
        """
        self._tls = tls
        self.tls: Current | None = None
        self.callers = None if tokens is None else Callers(tokens, own)
        self._files: list[_Files] = []
        if (directory := tls[0]) is not None:
            places = [directory, *([tls[1]] if tls[1] is not None else [])]
            self._files.append(_Files("certificate", places, self._show))
        if self.callers is not None and tokens is not None:
            self._files.append(_Files("tokens", [tokens], self.callers.read))
        if self._files:
            shared.add(_Told(self, self._files))

    def load(self) -> None:
        """Read all of it for the first time.

        Raises:
            errors.CredentialsUnusable: it cannot be used, all of it.
        """
        for files in self._files:
            files.begin()

    def join(self, pair: "Pair | None") -> None:
        """Read all of it in a process that joins others: what cannot be used is here what it is to them.

        Args:
            pair: What they show; None where they show nothing.
        """
        assert (pair is None) == (self._tls[0] is None), "what others guard is not to be served in clear"
        if pair is not None:
            self.tls = certificate.current(pair)
        for files in self._files:
            files.look()

    async def run(self) -> None:
        """Look at the files for as long as the process runs."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for files in self._files:
                await asyncio.to_thread(files.look)

    def _show(self) -> str:
        directory, client_ca = self._tls
        assert directory is not None
        pair = certificate.read(directory, client_ca)
        if self.tls is None:
            self.tls = certificate.current(pair)
        else:
            self.tls.pair = pair
        return f"{pair.serial}, to {pair.expires.isoformat()}"


class _Files:
    """Files that are read again when they changed, and as long as they cannot be used.

    Attributes:
        what: They hold.
        failure: Why they cannot be used; None where they can.
        reloads: How often they were read after a change, by whether that succeeded.
    """

    def __init__(self, what: str, places: list[Path], read: Callable[[], object]) -> None:
        self.what = what
        self._places = places
        self._read = read
        self._seen: object = None
        self.failure: str | None = None
        self.reloads = {"succeeded": 0, "failed": 0}

    def begin(self) -> None:
        self._seen = mounted.stamp(*self._places)
        _log.info("read what guards the ports", what=self.what, found=self._read())

    def look(self) -> None:
        stamp = mounted.stamp(*self._places)
        is_changed = stamp != self._seen
        if not is_changed and self.failure is None:
            return
        self._seen = stamp
        try:
            found = self._read()
        except errors.CredentialsUnusable as error:
            is_news = is_changed or self.failure is None
            self.failure = error.message
            if is_news:
                self.reloads["failed"] += 1
                _log.error("what guards the ports cannot be used", what=self.what, error=error.message)
        else:
            self.reloads["succeeded"] += 1
            self.failure = None
            _log.info("read what guards the ports", what=self.what, found=found)


class _Told(Collector):
    """What Prometheus is told."""

    def __init__(self, access: Access, files: list[_Files]) -> None:
        self._access = access
        self._files = files

    def collect(self) -> Iterator[Metric]:
        if self._access.tls is not None:
            yield GaugeMetricFamily(
                "modelroll_certificate_expiry_timestamp_seconds",
                "When the certificate that is shown is not valid any more",
                value=self._access.tls.pair.expires.timestamp(),
            )
        failing = GaugeMetricFamily(
            "modelroll_credentials_failing", "1 while files that guard the ports cannot be used", labels=["what"]
        )
        reloads = CounterMetricFamily(
            "modelroll_credentials_reloads", "Changes of those files, by what came of them", labels=["what", "outcome"]
        )
        for files in self._files:
            failing.add_metric([files.what], files.failure is not None)
            for outcome, count in files.reloads.items():
                reloads.add_metric([files.what, outcome], count)
        yield failing
        yield reloads
