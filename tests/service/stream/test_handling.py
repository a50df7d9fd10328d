"""From events to messages, without a broker: whose a fault is, what is tried again, and what may stand in a header."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import stand_in
from modelroll_server import errors
from modelroll_server.batching.batcher import Limits
from modelroll_server.cli.stream import stream
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.target import Content, Target
from modelroll_server.stream import handling
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.events import LONGEST_ID, Event, identity, printable
from modelroll_server.stream.handling import Handler
from modelroll_server.stream.settling import Persistence
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Table

ROW = json.dumps(stand_in.ROW).encode()


class Subject:
    """A handler over what is live, or nothing."""

    def __init__(self, runtime: stand_in.Echo | None = None, *, live: bool = True, max_queued_rows: int = 4096) -> None:
        metrics = Metrics()
        self.registry = Registry(metrics)
        self.version = stand_in.version(runtime=runtime)
        if live:
            self.registry.live = self.version
        inference = Inference(self.registry, metrics, threads=1, limits=Limits(queued=max_queued_rows))
        self.counts = StreamCounts()
        self.handler = Handler(self.registry, inference, metrics, self.counts, most_bytes=10_000, most_deliveries=3)


def events(count: int) -> list[Event]:
    return [Event(f"event-{number}", f"sensors/{number}", ROW) for number in range(count)]


async def test_a_full_queue_is_waited_for() -> None:
    subject = Subject(max_queued_rows=8)
    handled = await subject.handler.handle(events(100))
    assert [message.event.id for message in handled.messages] == [event.id for event in events(100)]
    assert not any(message.is_dead for message in handled.messages)
    assert subject.counts.retried > 0


async def test_a_model_that_is_not_there_yet_is_waited_for() -> None:
    subject = Subject(live=False)
    subject.registry.refuse(
        Target("env", 0, Content(path="churn/1.0.0")), errors.ArtifactMissing("nothing is there"), for_good=False
    )
    handling_ = asyncio.create_task(subject.handler.handle(events(3)))
    while subject.counts.retried == 0:  # noqa: ASYNC110 - nothing is set when it is
        await asyncio.sleep(0.01)
    subject.registry.live = subject.version
    assert not any(message.is_dead for message in (await handling_).messages)


async def test_a_row_on_which_the_model_raises_is_its_own_fault_alone() -> None:
    def raise_on_72(table: Table) -> None:
        if 72 in table.columns[0]:
            raise ValueError("secret")

    subject = Subject(stand_in.Echo(raise_on_72))
    bad = Event("bad", "sensors/bad", json.dumps({**stand_in.ROW, "tenure": 72}).encode())
    handled = await subject.handler.handle([*events(5), bad])
    dead = [message for message in handled.messages if message.is_dead]
    assert [message.headers["reason"] for message in dead] == ["inference_failed"]
    assert dead[0].payload == bad.payload
    assert "secret" not in dead[0].headers["message"]


async def test_what_is_settled_is_counted_by_its_outcome() -> None:
    subject = Subject()
    odd = [
        Event("many", "sensors/1", ROW, deliveries=4),
        Event("few", "sensors/2", ROW, deliveries=3),
        Event("long", "sensors/3", b"x" * 10_001),
        Event("none", "sensors/4", b"{}", wrong="the entry has no field data"),
    ]
    handled = await subject.handler.handle(odd)
    reasons = [message.headers.get("reason") for message in handled.messages]
    assert reasons == ["too_many_deliveries", None, "payload_too_large", "invalid_request"]
    assert subject.counts.redelivered == 2
    assert sum(sample.value for family in subject.counts.events.collect() for sample in family.samples) == 0
    handled.settled()
    found = {
        sample.labels["outcome"]: sample.value for one in subject.counts.events.collect() for sample in one.samples
    }
    assert found == {"answered": 1, "too_many_deliveries": 1, "payload_too_large": 1, "invalid_request": 1}


def test_every_error_that_passes_is_one_that_a_caller_may_try_again() -> None:
    assert set(handling.PASSING) == {errors.Overloaded, errors.DeadlineExceeded, errors.NotReady}


@given(st.text() | st.binary())
def test_an_id_is_printable_and_not_too_long_or_it_is_the_place(given_: str | bytes) -> None:
    found = identity(given_, "sensors/1")
    assert found
    assert found.isprintable()
    assert len(found) <= max(LONGEST_ID, len("sensors/1"))
    assert identity(None, "sensors/1") == "sensors/1"


@given(st.text())
def test_a_header_is_one_line_of_ascii(text: str) -> None:
    found = printable(text)
    assert found.isascii()
    assert found.isprintable() or not found


async def test_what_a_broker_does_not_take_is_tried_again_until_it_does() -> None:
    tries = []

    async def take() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError
        return "taken"

    assert await Persistence()(take) == "taken"
    assert len(tries) == 3
    with pytest.raises(KeyError):
        await Persistence()(refuse, unless=(KeyError,))


async def refuse() -> None:
    raise KeyError


@pytest.mark.parametrize("url", ["redis://user:secret@redis", "redis://redis?password=secret"])
def test_a_password_is_no_flag(url: str) -> None:
    said = CliRunner().invoke(stream, ["--url", url, "--input", "sensors"])
    assert said.exit_code == 2
    assert "set STREAM_URL" in " ".join(said.output.split())
    assert "secret" not in said.output


def test_the_file_of_authorities_is_cacert_as_for_predict() -> None:
    named = ["--url", "rediss://redis", "--input", "sensors", "--cacert", "absent.pem"]
    said = CliRunner().invoke(stream, named, env={"MODEL_PATH": "absent"})
    assert said.exit_code == 2
    assert "STREAM_CA (--cacert) may be a PEM file" in said.output


def test_no_broker_is_imported_before_it_is_named() -> None:
    code = "import sys, modelroll_server.stream_app; print([one for one in sys.modules if 'faststream' in one])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_not_installed_is_named_with_the_extra(tmp_path: Path) -> None:
    (tmp_path / "faststream.py").write_text("raise ImportError('No module named faststream', name='faststream')")
    command = [sys.executable, "-m", "modelroll_server", "stream", "--url", "redis://127.0.0.1:1", "--input", "sensors"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "MODEL_PATH": "absent"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "install `modelroll-server[stream]`" in done.stderr
