"""Servers with other TLS and tokens: some cannot start, some know their clients, some are several processes."""

import os
import signal
import socket
import ssl
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509

import credentials
import server_process
from guarded_server import CHURN, DESK, HEALTH, SHOP, Guarded, bearer, helm_test, open_connection, who
from modelroll_server import settings
from modelroll_server.access.access import Access
from modelroll_server.app import App


class Known(Guarded):
    """One whose clients show a certificate of the same authority."""

    @property
    def trust(self) -> ssl.SSLContext:
        """What they trust and show."""
        return self.authority.trust(self.first, self.tls.place.with_name("client.pem"))


@pytest.mark.parametrize(
    ("what", "files", "said", "workers"),
    [
        ("TLS_DIR", {}, "tls.crt cannot be read: No such file or directory", "1"),
        ("TOKENS_DIR", {"shop": b"short"}, "line 1 of", "1"),
        ("TOKENS_DIR", {}, "has no token, so nobody may call", "2"),
    ],
)
def test_a_start_with_what_cannot_be_used_ends_with_the_reason(
    what: str, files: dict[str, bytes], said: str, workers: str, tmp_path: Path
) -> None:
    place = credentials.Mounted(tmp_path / "files", files).place
    environment = {**os.environ, what: str(place), "PORT": "0", "MANAGEMENT_PORT": "0", "WORKERS": workers}
    command = [*server_process.COMMAND, str(CHURN / "1.2.0"), "--grpc-port", "off"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_only_clients_with_a_certificate_are_spoken_to_where_an_authority_is_named(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    authority, theirs = credentials.Authority(), credentials.Authority("clients")
    tls = credentials.Mounted(tmp_path / "tls", {**authority.issue().files, "ca.crt": theirs.pem})
    environment = {"TLS_DIR": str(tls.place), "TLS_CLIENT_CA": str(tls.place / "ca.crt"), "GRPC_PORT": "0"}
    one, later = theirs.issue(), credentials.Authority("later")
    known = authority.trust(one, tmp_path / "one.pem")
    with server_process.serving(tmp_path / "log", str(CHURN / "1.2.0"), environment=environment) as server:
        server.wait_for_live("1.2.0")
        assert httpx.post(f"{server.url}/predict", json=row, verify=known, timeout=60).status_code == 200
        for nobody in (authority.trust(), authority.trust(later.issue(), tmp_path / "other.pem")):
            with pytest.raises(httpx.HTTPError):
                httpx.post(f"{server.url}/predict", json=row, verify=nobody, timeout=60)
        asked = helm_test(server, TRUSTED=tls.place / "tls.crt", WANTS_CERTIFICATES="true")
        assert asked.returncode == 0, asked.stderr
        guarded = Guarded(server, authority, one, tls, tls)
        for pair, code in (((one.key, one.chain), None), ((None, None), grpc.StatusCode.UNAVAILABLE)):
            trust = grpc.ssl_channel_credentials(authority.pem, *pair)
            with grpc.secure_channel(f"localhost:{guarded.grpc_port}", trust) as channel:
                check = channel.unary_unary("/grpc.health.v1.Health/Check")
                if code is None:
                    check(b"", timeout=60)
                else:
                    with pytest.raises(grpc.RpcError) as refused:
                        check(b"", timeout=60)
                    assert refused.value.code() == code
        # An authority that is taken away signs for nobody any more.
        tls.replace({**authority.issue().files, "ca.crt": later.pem})
        server.wait_for(lambda: True if not opens(server.port, known) else None)
        assert opens(server.port, authority.trust(later.issue(), tmp_path / "later.pem"))


def test_several_workers_show_the_same_and_are_told_of_as_one(tmp_path: Path, row: dict[str, Any]) -> None:
    authority = credentials.Authority()
    first, second = authority.issue(), authority.issue(ends=48)
    tls = credentials.Mounted(tmp_path / "tls", first.files)
    tokens = credentials.Mounted(tmp_path / "tokens", {"shop": SHOP.encode()})
    environment = {"TLS_DIR": str(tls.place), "TOKENS_DIR": str(tokens.place), "WORKERS": "2"}
    environment["SHUTDOWN_TIMEOUT"] = "60"
    environment["TLS_CLIENT_CA"] = str(tmp_path / "ca.crt")
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    with server_process.serving(tmp_path / "log", str(CHURN / "1.2.0"), environment=environment) as server:
        server.wait_for_live("1.2.0")
        guarded = Known(server, authority, first, tls, tokens)
        assert who(guarded, SHOP)
        tls.replace(second.files)
        tokens.replace({"shop": DESK.encode()})
        server.wait_for(lambda: have_all_read(server, times=2) or None)
        for _ in range(20):  # new connections come to either worker
            assert credentials.shown(server.port) == second.serial
            assert who(guarded, DESK)
        assert not who(guarded, SHOP)
        expires = x509.load_pem_x509_certificate(second.chain).not_valid_after_utc.timestamp()
        assert guarded.metric("modelroll_certificate_expiry_timestamp_seconds") == expires
        asked = httpx.post(f"{server.url}/predict", json=row, headers=bearer(DESK), verify=guarded.trust, timeout=60)
        assert asked.json()["model_version"] == "1.2.0"
        many = 'modelroll_caller_requests_total{caller="shop"}'
        server.wait_for(lambda: True if guarded.metric(many) >= 22 else None)
        tls.replace({**second.files, "tls.key": first.key})
        tokens.replace({"desk": b"short", "shop": DESK.encode()})
        failing = [f'modelroll_credentials_failing{{what="{what}"}}' for what in ("certificate", "tokens")]
        server.wait_for(lambda: all(guarded.metric(one) == 1 for one in failing) or None)
        killed = {one["pid"] for one in server.status()["workers"]}
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        # Those that are started now find nothing that they could show, or be sure of.
        server.wait_for_status(
            lambda status: status["ready"] and not killed & {one["pid"] for one in status["workers"]}
        )
        assert credentials.shown(server.port) == second.serial
        assert who(guarded, DESK)
        assert not who(guarded, SHOP)
        assert not opens(server.port, authority.trust())  # without a certificate
        with open_connection(guarded) as idle:
            idle.sendall(HEALTH)
            assert idle.recv(65536).startswith(b"HTTP/1.1 200")
            assert server.end() == 0  # in half of that time, without a goodbye of a client that does not read


async def test_what_ends_the_looking_at_certificates_and_tokens_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Access) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Access, "run", fail)
    ports = dict.fromkeys(("PORT", "MANAGEMENT_PORT"), "0")
    environment = {**ports, "HOST": "127.0.0.1", "GRPC_PORT": "off", "MODEL_PATH": str(tmp_path / "absent")}
    with pytest.raises(RuntimeError, match="a fault"):
        await App(settings.from_environment(environment)).run()


def have_all_read(server: server_process.ServerProcess, times: int) -> bool:
    """Whether the parent and its two workers have read both, the certificate and the tokens, so often."""
    read = [one for one in server.lines() if one["event"] == "read what guards the ports"]
    found = Counter((one.get("worker"), one["what"]) for one in read)
    return len(found) == 6 and min(found.values()) >= times


def opens(port: int, context: ssl.SSLContext) -> bool:
    """Whether a connection is spoken on: TLS 1.3 says only after the handshake that a certificate is refused."""
    with socket.create_connection(("127.0.0.1", port)) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secured:
                secured.sendall(HEALTH)
                return secured.recv(65536).startswith(b"HTTP/1.1 200")
        except OSError:
            return False
