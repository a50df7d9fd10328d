"""Takes the README's picture of the page at `/`: `python -m hack.picture` writes docs/page.png.

A real server of the churn model, a candidate that answers a share, callers, and the browser of the tests.
"""

import asyncio
import itertools
import json
import shutil
import sys
import tempfile
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # the server and the browser are started as the tests start them

import browser  # noqa: E402
import server_process  # noqa: E402

PICTURE = ROOT / "docs" / "page.png"
WIDTH, HEIGHT = 1280, 860
ASKED_FOR = 30.0  # seconds
EVERY = 0.02  # seconds between two requests
MOST_BYTES = 200_000


async def main() -> None:
    """Take it."""
    if browser.command() is None:
        sys.exit("a Chromium is needed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as place:
        mount, targets = Path(place) / "models", Path(place) / "targets"
        shutil.copytree(ROOT / "models" / "churn", mount / "churn")
        targets.mkdir()
        candidate = {"version": "2.0.0", "path": "churn/2.0.0", "percent": 20, "shadow": False}
        move = {"version": "1.2.0", "path": "churn/1.2.0", "revision": 1, "candidate": candidate}
        settings = {
            "MODEL_ROOT": str(mount),
            "MODEL_PATH": "churn/1.2.0",
            "TARGET_DIR": str(targets),
            "ARTIFACT_POLICY": "any",
        }
        with server_process.serving(Path(place) / "log", environment=settings) as server:
            server.wait_for_live("1.2.0")
            (targets / "move").write_text(json.dumps(move))
            server.wait_for_status(lambda status: status["candidate"] is not None)
            async with browser.browsing(Path(place)) as found:
                await found.resize(WIDTH, HEIGHT)
                await found.prefer("light")
                await found.open(f"{server.url}/")
                asking = asyncio.create_task(_ask(server.url))
                await asyncio.sleep(ASKED_FOR)
                await found.click("#predict")
                await found.wait_for("document.getElementById('prediction').className === 'prediction'")
                await found.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
                await asyncio.sleep(3)  # the bars have grown, and the numbers are of now
                picture = await found.picture()
                asking.cancel()
    if len(picture) > MOST_BYTES:
        sys.exit(f"the picture has {len(picture):,} bytes, and may have {MOST_BYTES:,}")
    PICTURE.write_bytes(picture)
    print(f"{PICTURE.relative_to(ROOT)}: {len(picture):,} bytes")


async def _ask(url: str) -> None:
    """Ask for customers who have been there for one month, two, and so on: a share is chosen by the row."""
    row = json.loads((ROOT / "models" / "churn" / "row.json").read_bytes())
    async with aiohttp.ClientSession() as session:
        for number in itertools.count():
            asked = {**row, "tenure": number % 72, "monthly_charges": 20 + number % 97}
            async with session.post(f"{url}/predict", json=asked) as answer:
                answer.raise_for_status()
            await asyncio.sleep(EVERY)


if __name__ == "__main__":
    asyncio.run(main())
