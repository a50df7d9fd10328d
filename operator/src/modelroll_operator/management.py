"""The operator's own port: is the loop turning, and the metrics. Nothing here changes anything."""

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

STALLED_AFTER = 60.0  # seconds without a turn of the loop after which the process is better started again


async def serve(
    port: int, registry: CollectorRegistry, turned: Callable[[], float], lacks: Callable[[], str]
) -> web.AppRunner:
    """Listen on `port`.

    Args:
        port: The one of the kubelet and of Prometheus.
        registry: What `/metrics` shows.
        turned: When the loop turned last, on the monotonic clock. A standby's loop is the one that waits.
        lacks: What keeps it from working; empty for nothing, and for a standby.
    """

    async def livez(_: web.Request) -> web.Response:
        age = time.monotonic() - turned()
        if age > STALLED_AFTER:
            return web.Response(status=503, text=f"the loop has not turned for {age:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        lack = lacks()
        return web.Response(status=503, text=f"{lack}\n") if lack else web.Response(text="ok\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104  the kubelet and Prometheus come from outside
    return runner
