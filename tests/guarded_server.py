"""A real server that speaks TLS and wants tokens, and clients of it."""

import os
import re
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import grpc

import credentials
import server_process

ROOT = Path(__file__).parents[1]
CHURN = ROOT / "models" / "churn"
HELM_TEST = ROOT / "charts" / "modelroll" / "files" / "test_predict.py"
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
SHOP, DESK = "shop-0123456789abcdef", "desk-0123456789abcdef"


@dataclass
class Guarded:
    """A server, who signs for it, and what is mounted for it."""

    server: server_process.ServerProcess
    authority: credentials.Authority
    first: credentials.Issued
    tls: credentials.Mounted
    tokens: credentials.Mounted

    @property
    def grpc_port(self) -> int:
        line = self.server.wait_for(
            lambda: next((one for one in self.server.lines() if one["event"] == "listening for grpc"), None)
        )
        return int(line["grpc_port"])

    @property
    def trust(self) -> ssl.SSLContext:
        return self.authority.trust()

    def metric(self, name: str) -> float:
        """A series that `/metrics` has; NaN where it has not."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.server.get("/metrics").text, re.MULTILINE)
        return float("nan") if found is None else float(found[1])

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(
            f"localhost:{self.grpc_port}",
            grpc.ssl_channel_credentials(self.authority.pem),
            options=[("grpc.use_local_subchannel_pool", 1)],
        )


def helm_test(server: server_process.ServerProcess, **environment: object) -> "subprocess.CompletedProcess[str]":
    """What `helm test` runs in the cluster."""
    addresses = {"SERVICE": server.url, "MANAGEMENT": f"http://127.0.0.1:{server.management_port}"}
    found = {name: str(value) for name, value in environment.items()}
    command = [sys.executable, str(HELM_TEST)]
    return subprocess.run(
        command, env={**os.environ, **addresses, **found}, capture_output=True, text=True, check=False
    )


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def open_connection(guarded: Guarded) -> ssl.SSLSocket:
    """A connection on which hands were shaken."""
    plain = socket.create_connection(("127.0.0.1", guarded.server.port), timeout=60)
    return guarded.trust.wrap_socket(plain, server_hostname="localhost")


def who(guarded: Guarded, token: str) -> bool:
    """Whether somebody with this token may call."""
    with open_connection(guarded) as connection:
        connection.sendall(f"GET /v2 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        return connection.recv(65536).startswith(b"HTTP/1.1 200")
