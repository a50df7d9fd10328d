"""Logs: each event one JSON line, tracebacks and other libraries' loggers included."""

import json
import subprocess
import sys

PROGRAM = """
import logging
import structlog
from modelroll_server.telemetry import logs
logs.configure("info", "json")
log = structlog.get_logger("x")
log.info("hello", version="2.0.0")
log.debug("not this")
logging.getLogger("uvicorn.error").warning("from %s", "elsewhere")
logging.getLogger("uvicorn.error").info("nor this")
try:
    raise ValueError("wrong")
except ValueError:
    log.exception("failed")
"""


def test_every_event_is_one_json_line() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    hello, elsewhere, failed = (json.loads(line) for line in done.stderr.splitlines())
    assert (hello["event"], hello["version"], hello["level"]) == ("hello", "2.0.0", "info")
    assert elsewhere["event"] == "from elsewhere"
    assert "ValueError: wrong" in failed["exception"]
    assert done.stdout == ""
