"""Who may call a real server: TLS and tokens over HTTP and gRPC, and both replaced under load."""

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from click.testing import CliRunner
from cryptography import x509
from grpc_health.v1 import health_pb2

import credentials
import server_process
from guarded_server import CHURN, DESK, HEALTH, SHOP, Guarded, bearer, helm_test, open_connection, who
from modelroll_server.cli import main
from modelroll_server.grpc import prediction_pb2 as pb

PREDICT = "/modelroll.v1.PredictionService/Predict"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One server with both; a test leaves it as it found it, but for the certificate."""
    place = tmp_path_factory.mktemp("guarded")
    authority = credentials.Authority()
    first = authority.issue()
    tls = credentials.Mounted(place / "tls", first.files)
    tokens = credentials.Mounted(place / "tokens", {"shop": SHOP.encode(), "desk": DESK.encode()})
    environment = {
        "TLS_DIR": str(tls.place),
        "TOKENS_DIR": str(tokens.place),
        "GRPC_PORT": "0",
        "LOG_REQUESTS": "true",
        "REPOSITORY_TOKEN": "the-repositorys-own-token",
    }
    with server_process.serving(place / "log", str(CHURN / "1.2.0"), environment=environment) as server:
        server.wait_for_live("1.2.0")
        yield Guarded(server, authority, first, tls, tokens)


@pytest.fixture
def client(guarded: Guarded) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.server.url, verify=guarded.trust) as found:
        yield found


def test_everything_but_the_health_of_the_server_needs_a_token(
    guarded: Guarded, client: httpx.Client, row: dict[str, Any]
) -> None:
    for path in ("/", "/docs", "/openapi.json", "/page/live", "/v2", "/v2/health/live", "/v1/models/churn", "/nothing"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "x-model-version" not in answer.headers
    for method, path in (
        ("GET", "/v2/repository/x"),
        ("GET", "/v2/repository/index"),
        ("POST", "/v2/repository/index"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers.get("x-model-version")) == (401, None), path
        assert "x-model-digest" not in answer.headers
    for path in ("/predict", "/batch_predict", "/predict/stream", "/health", "/v2/models/churn/infer"):
        assert client.post(path, json=row).status_code == 401, path
        assert client.post(path, content=iter([b"{", b"}"])).status_code == 401, path
    person = client.get("/", headers={"accept": "text/html,*/*"})
    assert (person.status_code, person.headers["www-authenticate"]) == (401, "Bearer")
    assert "A token is needed" in person.text
    assert "churn" not in person.text
    assert client.get("/page/page.js").status_code == 200
    assert client.get("/health").json()["model_version"] == "1.2.0"
    assert client.head("/health").status_code == 200
    assert client.post("/predict", json=row, headers=bearer(SHOP)).json()["model_version"] == "1.2.0"
    assert client.get("/nothing", headers=bearer(SHOP)).status_code == 404
    before = guarded.metric('modelroll_caller_requests_total{caller="desk"}')
    assert client.post("/v1/models/churn:predict", json={"instances": [row]}, headers=bearer(DESK)).status_code == 200
    assert guarded.metric('modelroll_caller_requests_total{caller="desk"}') in {1.0, before + 1}
    log = guarded.server.log.read_text()
    assert SHOP not in log
    assert DESK not in log
    line = ("desk", "/v1/models/churn:predict")  # which is written after the answer
    guarded.server.wait_for(
        lambda: line in {(one.get("caller"), one.get("path")) for one in guarded.server.lines()} or None
    )


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing"),
        (b"", "scheme"),
        (b"Basic " + SHOP.encode(), "scheme"),
        (b"Bearer " + SHOP.encode()[:-1], "unknown"),
        (b"Bearer \xe2\x82\xac-\xff-0123456789", "unknown"),
        (b"Bearer " + b"x" * 50_000, "unknown"),
    ],
)
def test_who_shows_no_token_or_another_is_refused_and_counted_by_the_reason(
    header: bytes | None, reason: str, guarded: Guarded, client: httpx.Client, row: dict[str, Any]
) -> None:
    name = f'modelroll_unauthorized_total{{reason="{reason}"}}'
    before = guarded.metric(name)
    headers = [] if header is None else [(b"Authorization", header)]
    assert client.post("/predict", json=row, headers=headers).status_code == 401
    assert guarded.metric(name) in {1.0, before + 1}
    assert client.post("/predict", json=row, headers=bearer(SHOP)).status_code == 200


def test_the_repository_is_guarded_by_its_own_token_alone(client: httpx.Client) -> None:
    assert client.post("/v2/repository/index", headers=bearer("the-repositorys-own-token")).status_code == 200
    assert client.post("/v2/repository/index", headers=bearer(SHOP)).status_code == 401
    assert client.post("/v2/repository/index").status_code == 401


def test_the_body_of_who_is_refused_is_not_asked_for_and_the_connection_ends(guarded: Guarded) -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    )
    plain = socket.create_connection(("127.0.0.1", guarded.server.port), timeout=60)
    with plain, guarded.trust.wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(head)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer


def test_who_is_refused_reads_the_answer_even_after_a_large_body(client: httpx.Client, row: dict[str, Any]) -> None:
    answer = client.post("/predict", content=b"x" * 30_000_000)
    assert answer.status_code == 401
    assert client.post("/predict", json=row, headers=bearer(SHOP)).status_code == 200


def test_lines_are_streamed_to_who_has_a_token(client: httpx.Client, row: dict[str, Any]) -> None:
    lines = b"\n".join([json.dumps(row).encode()] * 300)
    answer = client.post("/predict/stream", content=lines, headers=bearer(SHOP))
    assert [json.loads(line)["model_version"] for line in answer.text.splitlines()] == ["1.2.0"] * 300
    assert client.post("/predict/stream", content=lines).status_code == 401


def test_a_large_answer_is_there_whole_where_the_connection_ends_with_it(
    client: httpx.Client, row: dict[str, Any]
) -> None:
    headers = {**bearer(SHOP), "connection": "close", "x-request-timeout-ms": "60000"}
    answer = client.post("/batch_predict", json=[row] * 10_000, headers=headers, timeout=60)
    assert len(answer.json()["predictions"]) == 10_000


async def test_over_grpc_everything_but_health_needs_a_token(guarded: Guarded, row: dict[str, Any]) -> None:
    request = message(row)
    async with guarded.channel() as channel:
        predict = channel.unary_unary(PREDICT, pb.PredictRequest.SerializeToString, pb.PredictResponse.FromString)
        answer = await predict(request, metadata=metadata(SHOP))
        assert answer.model_version == "1.2.0"
        refused = [
            (predict, request, ()),
            (predict, request, metadata(SHOP[:-1])),
            (predict, request, (("authorization", f"Basic {SHOP}"),)),
            (channel.unary_unary("/modelroll.v1.PredictionService/Nothing"), b"", ()),
            (channel.unary_unary("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"), b"", ()),
            (channel.unary_unary(PREDICT), b"x" * 10_000_000, ()),
        ]
        for method, body, shown in refused:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await method(body, metadata=shown)
            assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
            trailer = dict(error.value.trailing_metadata())
            assert (trailer["x-error-code"], trailer["www-authenticate"]) == ("unauthorized", "Bearer")
            assert "x-model-version" not in trailer
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        found = health_pb2.HealthCheckResponse.FromString(await check(b""))
        assert found.status == health_pb2.HealthCheckResponse.SERVING
        stream = channel.stream_stream(
            "/modelroll.v1.PredictionService/PredictStream",
            pb.PredictRequest.SerializeToString,
            pb.PredictResponse.FromString,
        )
        answers = [one.model_version async for one in stream(iter([request] * 50), metadata=metadata(DESK))]
        assert answers == ["1.2.0"] * 50
        assert await stream().code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_nothing_older_than_tls_1_2_and_nothing_in_clear_is_spoken(guarded: Guarded) -> None:
    for port in (guarded.server.port, guarded.grpc_port):
        for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = guarded.trust
            context.set_ciphers("ALL:@SECLEVEL=0")  # else it would be the client that refuses
            context.set_alpn_protocols(["h2", "http/1.1"])
            context.minimum_version = context.maximum_version = version
            with socket.create_connection(("127.0.0.1", port)) as plain:
                if version is ssl.TLSVersion.TLSv1_1:
                    with pytest.raises((ssl.SSLError, ConnectionError)):
                        context.wrap_socket(plain, server_hostname="localhost")
                else:
                    with context.wrap_socket(plain, server_hostname="localhost") as secured:
                        assert secured.version() == version.name.replace("_", ".")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/health")


def test_the_command_line_asks_with_the_authority_and_the_token(guarded: Guarded, tmp_path: Path) -> None:
    place = tmp_path / "ca.crt"
    place.write_bytes(guarded.authority.pem)
    command = [*server_process.COMMAND[:-1], "predict", guarded.server.url, "--json", "--cacert", str(place)]
    asked = subprocess.run([*command, "--token", SHOP], capture_output=True, text=True, check=True)
    assert json.loads(asked.stdout)["model_version"] == "1.2.0"
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "--token" in refused.stderr


@pytest.mark.parametrize(
    ("address", "given", "hint"),
    [
        ("http://localhost:{port}", ["--cacert"], "does it speak TLS? try https://localhost:{port}"),
        ("https://localhost:{port}", [], "name who signed it by --cacert FILE"),
        ("https://127.1:{port}", ["--cacert"], "ask by a name that its certificate has"),
    ],
)
def test_the_command_line_says_how_to_ask_a_server_with_tls(
    guarded: Guarded, tmp_path: Path, address: str, given: list[str], hint: str
) -> None:
    place = tmp_path / "ca.crt"
    place.write_bytes(guarded.authority.pem)
    port = guarded.server.port
    flags = [word for flag in given for word in (flag, str(place))]
    result = CliRunner().invoke(main, ["predict", address.format(port=port), "[1]", *flags])
    assert result.exit_code == 1
    assert hint.format(port=port) in result.output


def test_helm_test_trusts_the_secret_and_no_other_certificate(guarded: Guarded, tmp_path: Path) -> None:
    trusted = guarded.tls.place / "tls.crt"
    asked = helm_test(guarded.server, TRUSTED=trusted, TOKENS=guarded.tokens.place)
    assert (asked.returncode, "/predict: 400" in asked.stdout) == (0, True), asked.stderr
    other = tmp_path / "tls.crt"
    other.write_bytes(guarded.authority.issue().chain)
    refused = helm_test(guarded.server, TRUSTED=other, TOKENS=guarded.tokens.place)
    assert (refused.returncode, "cannot be reached" in refused.stderr) == (1, True)


async def test_certificate_and_tokens_are_replaced_and_no_request_fails(
    guarded: Guarded, row: dict[str, Any], expected: dict[str, tuple[Any, list[float]]]
) -> None:
    server, new = guarded.server, guarded.authority.issue(ends=48)
    reloads = 'modelroll_credentials_reloads_total{outcome="succeeded",what="certificate"}'
    before_all = guarded.metric(reloads)
    token = "shop-before-0123456789"
    shown = Shown(token)
    guarded.tokens.replace({"shop": token.encode()})
    await until(lambda: who(guarded, token))
    opened = await asyncio.to_thread(open_connection, guarded)
    under_load = server_process.under_load(
        server.url, row, {"1.2.0": expected["1.2.0"]}, clients=4, tls=guarded.trust, token=shown.show
    )
    async with under_load as load, calling(guarded, message(row), shown) as calls:
        await until(lambda: load.answers.total() > 0 and calls.total() > 0)
        guarded.tls.replace(new.files)
        await until(lambda: credentials.shown(server.port) == new.serial)
        await until(lambda: credentials.shown(guarded.grpc_port, "h2") == new.serial)
        guarded.tokens.replace({"shop": f"{token}\nshop-after-0123456789\n".encode()})
        await until(lambda: who(guarded, "shop-after-0123456789"))
        shown.token = "shop-after-0123456789"
        await shown.by_all()  # what was begun with the token before is answered
        guarded.tokens.replace({"shop": b"shop-after-0123456789"})
        await until(lambda: not who(guarded, token))
        before = load.answers.total(), calls.total()
        await until(lambda: load.answers.total() > before[0] and calls.total() > before[1])
    assert load.wrong == []
    assert calls.keys() == {"OK"}
    with opened:  # shaken hands on with the certificate before
        opened.sendall(HEALTH)
        assert opened.recv(65536).startswith(b"HTTP/1.1 200")
    expires = x509.load_pem_x509_certificate(new.chain).not_valid_after_utc.timestamp()
    assert guarded.metric("modelroll_certificate_expiry_timestamp_seconds") == expires
    assert guarded.metric(reloads) == before_all + 1
    guarded.tokens.replace({"shop": SHOP.encode(), "desk": DESK.encode()})
    await until(lambda: who(guarded, DESK))


def test_what_cannot_be_used_leaves_the_certificate_and_no_token(guarded: Guarded, client: httpx.Client) -> None:
    in_use = credentials.shown(guarded.server.port)
    good, other = guarded.authority.issue(), guarded.authority.issue()
    failing = 'modelroll_credentials_failing{what="certificate"}'
    failed = 'modelroll_credentials_reloads_total{outcome="failed",what="certificate"}'
    before = guarded.metric(failed)
    for number, files in enumerate(
        ({**good.files, "tls.key": other.key}, guarded.authority.issue(ends=0).files, dict.fromkeys(good.files, b"")), 1
    ):
        guarded.tls.replace(files)
        guarded.server.wait_for(lambda number=number: True if guarded.metric(failed) == before + number else None)  # type: ignore[misc]
        assert guarded.metric(failing) == 1
        assert credentials.shown(guarded.server.port) == in_use
        assert credentials.shown(guarded.grpc_port, "h2") == in_use
    guarded.tls.replace(good.files)
    guarded.server.wait_for(lambda: True if guarded.metric(failing) == 0 else None)
    assert credentials.shown(guarded.server.port) == good.serial
    assert credentials.shown(guarded.grpc_port, "h2") == good.serial
    said = [one["error"] for one in guarded.server.lines() if one["event"].endswith("cannot be used")]
    assert len(said) == 3  # once each, however often they were looked at
    assert "is not the key of" in said[0]

    guarded.tokens.replace({})
    guarded.server.wait_for(lambda: None if who(guarded, SHOP) else True)
    answer = client.get("/v2", headers=bearer(SHOP))
    assert (answer.status_code, "has no tokens" in answer.json()["message"]) == (401, True)
    assert guarded.metric('modelroll_credentials_failing{what="tokens"}') == 1
    guarded.tokens.replace({"shop": SHOP.encode(), "desk": DESK.encode()})
    guarded.server.wait_for(lambda: True if who(guarded, SHOP) else None)


async def until(is_so: Callable[[], bool]) -> None:
    """Look until it is."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(is_so):  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.05)


@dataclass
class Shown:
    """The token that clients show, and what each showed last: who shows another was answered to the one before."""

    token: str
    by: dict[object, str] = field(default_factory=dict)

    def show(self) -> str:
        self.by[asyncio.current_task()] = self.token
        return self.token

    async def by_all(self) -> None:
        async with asyncio.timeout(60):
            while set(self.by.values()) != {self.token}:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def calling(guarded: Guarded, request: pb.PredictRequest, shown: Shown) -> AsyncIterator[Counter[str]]:
    """Clients that call all the time, one on one connection and one on a new one each time; counts by outcome."""
    found: Counter[str] = Counter()
    ended = asyncio.Event()

    async def call(channel: grpc.aio.Channel) -> None:
        predict = channel.unary_unary(PREDICT, pb.PredictRequest.SerializeToString, pb.PredictResponse.FromString)
        try:
            await predict(request, metadata=metadata(shown.show()), timeout=60)
            found["OK"] += 1
        except grpc.aio.AioRpcError as error:
            found[f"{error.code()} {error.details()}"] += 1
        await asyncio.sleep(0.005)

    async def on_one() -> None:
        async with guarded.channel() as channel:
            while not ended.is_set():
                await call(channel)

    async def on_many() -> None:
        while not ended.is_set():
            async with guarded.channel() as channel:
                await call(channel)

    tasks = [asyncio.create_task(one) for one in (on_one(), on_many())]
    try:
        yield found
    finally:
        ended.set()
        await asyncio.gather(*tasks)


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    """What a call with a token has."""
    return (("authorization", f"Bearer {token}"),)


def message(row: dict[str, Any]) -> pb.PredictRequest:
    """The row as a message."""
    found = pb.PredictRequest()
    for name, value in row.items():
        setattr(found.named[name], {str: "text", int: "integer", float: "number"}[type(value)], value)
    return found
