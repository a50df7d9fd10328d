"""The process: connects, waits for the Lease, then watches and rolls until it is told to end.

Owns construction and the end. Losing the Lease ends the process at once, with whatever it was doing.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

import aiohttp
import kopf
import structlog

from modelroll_operator import logs, management, names, watch
from modelroll_operator import settings as settings_module
from modelroll_operator.api import Api, ApiError
from modelroll_operator.lease import Lease, LeaseLost
from modelroll_operator.metrics import Metrics
from modelroll_operator.settings import Settings
from modelroll_operator.supervisor import Supervisor
from modelroll_operator.telemetry import traces

LOOK_EVERY = 1.0  # seconds between two looks at whether the CRD is there

_log = structlog.get_logger(__name__)


def main() -> None:
    """The command `modelroll-operator`."""
    try:
        settings = settings_module.from_environment()
    except settings_module.SettingError as error:
        sys.exit(str(error))
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(run(settings))


async def run(settings: Settings) -> None:
    """Run until a signal, or until the Lease is lost, which ends the process on the spot."""
    metrics = Metrics()
    sent = traces.from_environment(os.environ, metrics.spans)
    kind = _Kind()
    supervisor: Supervisor | None = None
    api = await Api.connect(settings.namespace)
    # Of its own: hundreds of Deployments at work must not keep the Lease from being renewed.
    lease_api = await Api.connect(settings.namespace)
    lease = Lease(lease_api, settings.identity)
    runner = await management.serve(
        settings.management_port,
        metrics.registry,
        lambda: time.monotonic() if supervisor is None else supervisor.turned,
        lambda: kind.lacks,
    )
    async with aiohttp.ClientSession() as session:
        try:
            stop = asyncio.Event()
            _stop_on_signals(stop)  # a standby has to end too when it is told to
            if await _before(stop, kind.wait(api)) and await _before(stop, lease.acquire()):
                metrics.leader.set(1)
                supervisor = Supervisor(api, session, metrics, sent)
                await _work(settings, supervisor, lease, stop)
        finally:
            await runner.cleanup()
            await api.close()
            await lease_api.close()
            if sent is not None:
                await asyncio.to_thread(sent.close)


class _Kind:
    """The kind ModelVersion, which must be there before kopf looks for it: it looks once, and would stay deaf."""

    def __init__(self) -> None:
        self.lacks = "not connected yet"

    async def wait(self, api: Api) -> None:
        """Wait until the API server lets us list it."""
        while self.lacks:
            try:
                await api.call("GET", api.group(names.GROUP, names.PLURAL), query={"limit": "1"})
                self.lacks = ""
            except ApiError as error:
                lacks = "the CRD of ModelVersion is not installed" if error.status == 404 else str(error)
                if lacks != self.lacks:
                    _log.warning("waiting", lacks=lacks)
                self.lacks = lacks
                await asyncio.sleep(LOOK_EVERY)


def _stop_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _before(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work` unless `stop` is set before it is done; whether it was done."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return True
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    return False


async def _work(settings: Settings, supervisor: Supervisor, lease: Lease, stop: asyncio.Event) -> None:
    """Watch, roll and keep the Lease; the first of them that ends, ends all."""
    ready = asyncio.Event()
    watching = kopf.operator(
        registry=watch.registry(supervisor.mark, supervisor.touch, supervisor.ask),
        settings=watch.settings(),
        namespaces=[settings.namespace],
        stop_flag=stop,
        ready_flag=ready,
        # Without one kopf asks for the user's name, which a container's bare number does not have. kopf does not
        # export the NewType of str that it wants.
        identity=settings.identity,  # type: ignore[arg-type]
    )
    # In the order of their end: when nobody rolls any more, the next one may have the Lease. kopf takes every task that
    # is made after its start for its own, and would wait for the actors.
    tasks = [
        asyncio.create_task(_told_to_end(ready, stop), name="signals"),
        asyncio.create_task(supervisor.run(), name="roll"),
        asyncio.create_task(lease.keep(), name="lease"),
        asyncio.create_task(watching, name="watch"),
    ]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        if isinstance(task.exception(), LeaseLost):
            _log.error("lease lost", error=str(task.exception()))
            sys.stderr.flush()
            os._exit(1)  # nothing that is under way may write any more: there is nothing to tidy up
    for task in tasks:
        if task.get_name() == "watch":
            await lease.release()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _told_to_end(ready: asyncio.Event, stop: asyncio.Event) -> None:
    """End when a signal asks for it; kopf takes the signals for itself as it starts."""
    await ready.wait()
    _stop_on_signals(stop)
    await stop.wait()
