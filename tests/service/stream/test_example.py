"""The example: what the sensors of pumps say, sent by models/pump/sensors.py, over each broker."""

import asyncio
import subprocess
import sys
from pathlib import Path

import brokers
from stream_process import Start, settled

PUMP = Path(__file__).parents[3] / "models/pump"
COUNT = 400


async def test_every_reading_of_the_sensors_gets_a_prediction_or_a_dead_letter(
    broker: brokers.Broker, start: Start
) -> None:
    start(broker, str(PUMP / "1.0.0"))
    options = ["--count", str(COUNT), "--rate", "1000", "--broken", "0.1"]
    command = [sys.executable, str(PUMP / "sensors.py"), broker.url, *options]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    ids = [f"pump-{number % 8}/{number // 8}" for number in range(COUNT)]
    found = await settled(broker, ids)
    assert found.lost(ids) == []
    assert found.doubled() == 0
    predictions = {answer["prediction"] for (answer,) in found.answers.values()}
    assert predictions == {"failing", "healthy"}
    assert 10 < len(found.dead) < 80
    for (letter,) in found.dead.values():
        assert letter.headers["reason"] == "invalid_field"
        assert letter.headers["field"] in {"temperature_c", "vibration_mm_s", "pressure_bar", "current_a"}
