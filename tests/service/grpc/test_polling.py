"""How grpc is told to poll: by a name that a later grpc may no longer know."""

import subprocess
import sys

PROGRAM = """
import os
import modelroll_server.grpc
import grpc
print(os.environ["GRPC_EXPERIMENTS"])
grpc.insecure_channel("localhost:1").close()
"""


def test_grpc_knows_how_it_is_told_to_poll() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert said.stdout == "-event_engine_listener\n"
    assert "Unknown experiment" not in said.stderr
