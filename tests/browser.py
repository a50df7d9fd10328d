"""A real Chromium without a window, spoken to in its DevTools protocol.

Over aiohttp's WebSocket, which is here already: a package for this brings a second browser, or a server that stands
between and has to fit the browser. What a page asked for and complained of is kept from the first moment on.
See https://chromedevtools.github.io/devtools-protocol/.
"""

import asyncio
import base64
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

PATIENCE = 30.0  # seconds for anything to come about


def command() -> str | None:
    """The browser that this machine has."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page of one browser.

    Attributes:
        requested: Every address that was asked for.
        complaints: Errors and warnings of the console, exceptions, and what its policy kept out.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._session: str | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def begin(self) -> None:
        """Open a page, and listen to it."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        self._session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.call(f"{domain}.enable")

    async def end(self) -> None:
        """Close it."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        number = len(self._waiting)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        session = {} if self._session is None else {"sessionId": self._session}
        await self._socket.send_json({"id": number, "method": method, "params": parameters, **session})
        async with asyncio.timeout(PATIENCE):
            found: dict[str, Any] = await answer
        return found

    async def evaluate(self, expression: str) -> Any:
        """What an expression is, in the page; of a promise, what it comes to."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def wait_for(self, expression: str) -> Any:
        """Look until an expression is true, and give what it is."""
        found = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not (found := await self.evaluate(expression)):  # noqa: ASYNC110 - the page has no event for it
                    await asyncio.sleep(0.02)
        assert found, f"{expression} did not come about; complaints: {self.complaints}"
        return found

    async def open(self, url: str) -> None:
        """Go to a page, and wait until it is there with all that it needs."""
        await self.call("Page.navigate", url=url)
        await self.wait_for(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    async def resize(self, width: int, height: int = 900, *, scale: float = 1.0) -> None:
        """Give the page a screen of so many pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)

    async def prefer(self, scheme: str) -> None:
        """Ask for a `light` or a `dark` page."""
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def press(self, key: str, code: int) -> None:
        """Press a key, wherever the focus is."""
        text = {"Enter": "\r"}.get(key)
        pressed = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **({} if text is None else {"text": text}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    async def type(self, selector: str, text: str) -> None:
        """Type into a field in place of what is there."""
        await self.evaluate(
            f"(one => {{ one.focus(); one.select(); }})(document.querySelector({json.dumps(selector)}))"
        )
        await self.call("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """Click in the middle of an element, with a mouse."""
        place = await self.evaluate(
            f"(one => {{ one.scrollIntoView({{block: 'center'}}); const {{x, y, width, height}} ="
            f" one.getBoundingClientRect(); return [x + width / 2, y + height / 2]; }})"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        where = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        await self.call("Input.dispatchMouseEvent", type="mousePressed", **where)
        await self.call("Input.dispatchMouseEvent", type="mouseReleased", **where)

    async def picture(self, *, whole: bool = False) -> bytes:
        """The page as a PNG: what the screen shows, or all of it."""
        found = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                answer = self._waiting[said["id"]]
                if answer.done():
                    continue
                if "error" in said:
                    answer.set_exception(AssertionError(said["error"]))
                else:
                    answer.set_result(said["result"])
            else:
                self._note(said["method"], said["params"])

    def _note(self, event: str, about: dict[str, Any]) -> None:
        match event:
            case "Network.requestWillBeSent":
                self.requested.append(about["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(about["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if about["type"] in {"error", "warning", "assert"}:
                self.complaints.append(json.dumps(about["args"]))
            case "Log.entryAdded" if about["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(f"{about['entry']['text']} {about['entry'].get('url', '')}".strip())


@contextlib.asynccontextmanager
async def browsing(directory: Path) -> AsyncIterator[Browser]:
    """A browser for the time of a block, that keeps what it writes in a directory."""
    program = command()
    assert program is not None
    profile = directory / "profile"
    profile.mkdir()
    # Without its own sandbox, which root may not use and containers do not offer; without what it asks its maker for.
    fixed = (
        "--headless",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
    )
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
    process = await asyncio.create_subprocess_exec(
        program,
        *fixed,
        *quiet,
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "HOME": str(directory), "LANGUAGE": "en"},
        start_new_session=True,
    )
    try:
        port, path = await _address(profile / "DevToolsActivePort")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{port}{path}", max_msg_size=0) as socket,
        ):
            browser = Browser(socket)
            await browser.begin()
            yield browser
            await browser.end()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()


async def _address(written: Path) -> tuple[str, str]:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(FileNotFoundError, ValueError):
                port, path = (await asyncio.to_thread(written.read_text)).splitlines()
                return port, path
            await asyncio.sleep(0.02)
