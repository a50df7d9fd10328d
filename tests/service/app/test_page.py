"""The page at `/` in a real Chromium, of a real server: it asks nobody else, predicts, refuses, and follows a swap."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

import browser
import credentials
import server_process
from browser import Browser
from server_process import ServerProcess

pytestmark = pytest.mark.needs("chromium")

PREDICTED = "document.getElementById('prediction').className === 'prediction'"
INVALID = "[...document.querySelectorAll('[aria-invalid=true]')].map(one => one.dataset.name)"


def environment(mount: Path, **more: str) -> dict[str, str]:
    """What a pod has."""
    fixed = {"MODEL_ROOT": str(mount), "MODEL_PATH": "churn/1.2.0", "ARTIFACT_POLICY": "any"}
    return {**fixed, "TARGET_DIR": str(mount / "targets"), **more}


def say(mount: Path, version: str, revision: int) -> None:
    """Ask for a version, at once."""
    temporary = mount / "new"
    temporary.write_text(json.dumps({"path": f"churn/{version}", "version": version, "revision": revision}))
    (mount / "targets").mkdir()
    temporary.replace(mount / "targets" / "move")


def text(element: str) -> str:
    """What an element says."""
    return f"document.getElementById('{element}').textContent.trim()"


def error(name: str) -> str:
    """What stands at the field of an input."""
    return f"document.querySelector('[data-name={name}]').closest('.control').querySelector('.error').textContent"


@pytest.fixture
async def chromium(tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser with a wide screen."""
    async with browser.browsing(tmp_path) as found:
        await found.resize(1280)
        yield found


@pytest.fixture
async def server(tmp_path: Path, mount: Path) -> AsyncIterator[ServerProcess]:
    """A server of churn 1.2.0."""
    with server_process.serving(tmp_path / "log", environment=environment(mount)) as found:
        await asyncio.to_thread(found.wait_for_live, "1.2.0")
        yield found


async def test_it_predicts_and_asks_nobody_else(server: ServerProcess, chromium: Browser, mount: Path) -> None:
    manifest = json.loads((mount / "churn" / "1.2.0" / "modelroll.json").read_bytes())
    row = {one["name"]: one["example"] for one in manifest["inputs"]}
    expected = (await asyncio.to_thread(httpx.post, f"{server.url}/predict", json=row)).json()
    await chromium.open(f"{server.url}/")
    await chromium.click("#predict")
    await chromium.wait_for(PREDICTED)
    assert await chromium.evaluate(text("prediction")) == expected["prediction"]
    assert "1.2.0 answered in" in await chromium.evaluate(text("by"))
    shares = await chromium.evaluate("[...document.querySelectorAll('#bars .value')].map(one => one.textContent)")
    assert shares == [f"{100 * one:.1f}%" for one in expected["probability"]]
    widths = await chromium.evaluate("[...document.querySelectorAll('#bars .fill')].map(one => one.offsetWidth)")
    assert all(widths)
    await chromium.wait_for(f"{text('shares')} === '1.2.0 100%'")
    assert {one.split("/")[2] for one in chromium.requested} == {server.url.removeprefix("http://")}
    assert chromium.complaints == []


async def test_a_wrong_value_is_refused_at_its_field(server: ServerProcess, chromium: Browser) -> None:
    await chromium.open(f"{server.url}/")
    await chromium.type("[data-name=tenure]", "long")
    await chromium.type("[data-name=senior_citizen]", "")
    await chromium.press("Enter", 13)
    await chromium.wait_for(f"{INVALID}.length")
    assert await chromium.evaluate(INVALID) == ["senior_citizen", "tenure"]
    assert await chromium.evaluate(error("tenure")) == "tenure must be an integer, got a string"
    assert await chromium.evaluate(error("senior_citizen")) == "senior_citizen is missing"
    assert await chromium.evaluate("document.activeElement.dataset.name") == "senior_citizen"
    await chromium.type("[data-name=senior_citizen]", "0")
    await chromium.type("[data-name=tenure]", "12")
    await chromium.type("[data-name=total_charges]", "")
    await chromium.press("Enter", 13)
    await chromium.wait_for(PREDICTED)
    assert await chromium.evaluate(INVALID) == []
    command = await chromium.evaluate(text("curl"))
    assert '"tenure": 12,' in command
    assert '"total_charges": null}' in command
    assert [one for one in chromium.complaints if "400" not in one] == []


async def test_numbers_are_sent_with_every_digit_that_was_typed(server: ServerProcess, chromium: Browser) -> None:
    await chromium.open(f"{server.url}/")
    for typed, sent in (
        ("9007199254740993", "9007199254740993"),
        ("1.10", "1.10"),
        (" 7 ", "7"),
        (".5", "0.5"),
        ("+1", "1"),
        ("0x10", '"0x10"'),
        ("1,5", '"1,5"'),
        ("Infinity", '"Infinity"'),
        ("it's", '''"it'\\''s"'''),
    ):
        await chromium.type("[data-name=tenure]", typed)
        assert f'"tenure": {sent}, ' in await chromium.evaluate(text("curl"))


async def test_who_has_a_token_signs_in_and_signs_in_again_when_it_is_replaced(
    tmp_path: Path, mount: Path, chromium: Browser
) -> None:
    first, second = "first-0123456789abcdef", "second-0123456789abcdef"
    tokens = credentials.Mounted(tmp_path / "tokens", {"person": first.encode()})
    signed_in = "document.getElementById('form') !== null"
    with server_process.serving(
        tmp_path / "log", environment=environment(mount, TOKENS_DIR=str(tokens.place))
    ) as server:
        await asyncio.to_thread(server.wait_for_live, "1.2.0")
        await chromium.open(f"{server.url}/")
        await chromium.type("#token", "another-0123456789abcdef")
        await chromium.click("#go")
        await chromium.wait_for(f"{text('sign-in-error')} === 'The server does not know this token.'")
        assert "churn" not in await chromium.evaluate("document.documentElement.outerHTML")
        await chromium.type("#token", first)
        await chromium.click("#go")
        await chromium.wait_for(signed_in)
        await chromium.click("#predict")
        await chromium.wait_for(PREDICTED)
        command = await chromium.evaluate(text("curl"))
        assert '-H "Authorization: Bearer $TOKEN"' in command
        tokens.replace({"person": second.encode()})
        await chromium.wait_for("document.getElementById('sign-in') !== null")
        await chromium.type("#token", second)
        await chromium.click("#go")
        await chromium.wait_for(signed_in)
        await chromium.evaluate("location.reload()")
        await chromium.wait_for(signed_in)  # the tab remembers
    assert [one for one in chromium.complaints if "401" not in one and "ERR_" not in one] == []


async def test_a_swap_shows_without_a_reload_and_keeps_what_was_typed(
    server: ServerProcess, chromium: Browser, mount: Path
) -> None:
    await chromium.open(f"{server.url}/")
    await chromium.evaluate("window.stayed = true")
    await chromium.type("[data-name=tenure]", "40")
    say(mount, "2.0.0", 1)
    await asyncio.to_thread(server.wait_for_live, "2.0.0", 1)
    await chromium.wait_for(f"{text('version')} === '2.0.0'")
    assert await chromium.evaluate("window.stayed")
    assert "it was 1.2.0" in await chromium.evaluate(text("news"))
    assert await chromium.evaluate("document.title") == "churn 2.0.0"
    assert await chromium.evaluate("[document.activeElement.dataset.name, document.activeElement.value]") == [
        "tenure",
        "40",
    ]
    assert server.status()["live"]["digest"] in await chromium.evaluate(text("card"))
    await chromium.click("#predict")
    await chromium.wait_for(f"{PREDICTED} && {text('by')}.startsWith('Version 2.0.0')")
    assert chromium.complaints == []


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_the_screen_and_can_be_read(
    server: ServerProcess, chromium: Browser, width: int, scheme: str
) -> None:
    await chromium.resize(width)
    await chromium.prefer(scheme)
    await chromium.open(f"{server.url}/")
    await chromium.type("[data-name=tenure]", "long")
    await chromium.press("Enter", 13)
    await chromium.wait_for(f"{INVALID}.length")
    assert await chromium.evaluate("document.documentElement.scrollWidth") == width
    texts = "[...document.querySelectorAll('label, button, dd, .hint, h1')]"
    assert await chromium.evaluate(f"{texts}.filter(one => one.scrollWidth > one.clientWidth + 1)") == []
    assert await chromium.evaluate(f"({CONTRASTS})()") == []
    await chromium.resize(width, 500)
    box = "document.querySelector('{}').getBoundingClientRect()"
    for place in (0.25, 0.5, 1.0):  # the answer stays in view, but not over what comes after it
        await chromium.evaluate(f"scrollTo(0, {place} * document.body.scrollHeight)")
        assert await chromium.evaluate(f"{box.format('.answer')}.bottom <= {box.format('.card')}.top")


# What WCAG 2 asks of text: 4.5 to 1 against what is behind it.
CONTRASTS = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [...document.querySelectorAll("body *")].filter((one) =>
    one.checkVisibility() && one.id !== "prediction" &&
    [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  return texts.map((one) => {
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
    return [one.className || one.tagName, (a + 0.05) / (b + 0.05)];
  }).filter(([, ratio]) => ratio < 4.5);
}"""


async def test_a_server_that_loads_at_its_first_request_shows_its_model(
    tmp_path: Path, mount: Path, chromium: Browser
) -> None:
    settings = environment(mount, LOAD="lazy", TARGET_DIR="")
    with server_process.serving(tmp_path / "log", environment=settings) as server:
        assert server.status()["live"] is None
        await chromium.open(f"{server.url}/")
        await chromium.wait_for("document.getElementById('version')?.textContent === '1.2.0'")


async def test_a_page_that_was_opened_before_there_was_a_model_shows_it_once_there_is(
    tmp_path: Path, mount: Path, chromium: Browser
) -> None:
    (mount / "churn" / "1.2.0").rename(mount / "later")
    with server_process.serving(tmp_path / "log", environment=environment(mount)) as server:
        await asyncio.to_thread(server.wait_for_status, lambda status: status["failure"] is not None)
        await chromium.open(f"{server.url}/")
        assert "No model is loaded: ArtifactMissing" in await chromium.evaluate("document.body.textContent")
        (mount / "later").rename(mount / "churn" / "1.2.0")
        await chromium.wait_for("document.getElementById('version')?.textContent === '1.2.0'")
        await chromium.click("#predict")
        await chromium.wait_for(PREDICTED)
