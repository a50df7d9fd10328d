"""What a server is told from outside: environment variables and flags, checked once, at start.

Owns the names, the defaults and the sentences for bad values. Knows nothing of what the settings are for, and is read
only by `app`, `workers` and `cli`.
"""

import dataclasses
import re
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

MAX_BATCH_SIZE = 1_024
MOST_WORKERS = 256
BROKERS = ("redis", "rediss", "kafka", "kafka+ssl", "nats", "tls")
SHORTEST_CLAIM, LONGEST_CLAIM = 6.0, 1800.0  # the shortest and the longest session that Kafka gives a consumer
SHORTEST_WORKER_TIMEOUT = 5.0  # a worker reports once a second, and may be late


class SettingsError(ValueError):
    """A setting that cannot be used; the message names the variable and says what it may be."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything a server is told; each field is the variable of the same name in capitals."""

    model_path: str
    """Artifact, bare file or model directory; absolute, or relative to `model_root`. Empty: only targets are served."""
    model_name: str | None = None
    """The model's name; a manifest that names another one is refused."""
    model_digest: str | None = None
    """The digest that `model_path` must have."""
    model_root: Path = Path("/models")
    """The mount that every target's path is relative to, and must stay under."""
    target_dir: Path | None = None
    """Directory of the files `target`, `settled` and `move`."""
    state_dir: Path | None = None
    """Writable directory for the load marker; outlives the container, not the pod."""
    artifact_policy: Literal["digest", "signed", "any"] = "digest"
    """Which artifacts may be loaded: `digest` wants pickles named by their digest, `signed` a signature on each."""
    signing_public_key: str | None = dataclasses.field(default=None, repr=False)
    """The PEM text of the keys whose signatures count under `signed`; given as that, or as the file that has it."""
    load: Literal["preload", "lazy"] = "preload"
    """When `model_path` is loaded: before the server is ready, or on the first request."""
    keep_previous: bool = True
    """Whether the version before the live one stays in memory, so that going back to it loads nothing."""
    extra_fields: Literal["refuse", "ignore"] = "refuse"
    """What happens to a field that the model has no input for."""
    page: bool = True
    """Whether `/` is there, with its form, for people."""
    max_batch_size: int = 32
    """Rows computed together, to begin with; a model that answers more of them in little time is given more."""
    max_batch_delay_ms: float = 0.0
    """Milliseconds that a row may wait for others; 0: what is there is computed."""
    cache_size: int | None = None
    """Bytes of answers that this process keeps, such as 64Mi; absent: none, or with `cache_url` 64Mi."""
    cache_ttl: float = 300.0
    """Seconds that an answer is kept, give or take a tenth."""
    cache_url: str | None = dataclasses.field(default=None, repr=False)
    """A Redis or Valkey that keeps answers, too: redis://, rediss:// or unix://; it may hold a password."""
    cache_key: str | None = dataclasses.field(default=None, repr=False)
    """A secret that signs what Redis keeps; without, whoever can write to it can make up answers."""
    drift: bool = True
    """Whether what callers send is compared with what the model was trained on."""
    drift_window: float = 3600.0
    """Seconds of requests that are compared, give or take a twelfth; from 60 to seven days."""
    host: str = "0.0.0.0"  # noqa: S104 - a container is reached from outside
    port: int = 8000
    management_port: int = 8081
    grpc_port: int | None = 50051
    """`off`: gRPC is not served, and not imported."""
    grpc_max_receive_bytes: int = 64 * 2**20
    """The largest gRPC message that is read."""
    grpc_max_send_bytes: int = 64 * 2**20
    """The largest gRPC message that is sent."""
    workers: int | Literal["auto"] = 1
    """Processes that answer; `auto`: one for each CPU that may be used."""
    worker_timeout: float = 60.0
    """Seconds that a worker may be silent, before it is taken for hung and started anew; 5 at least."""
    tls_dir: Path | None = None
    """Directory of tls.crt and tls.key, with which predictions are served over TLS; read again when they change."""
    tls_client_ca: Path | None = None
    """PEM file of the authorities that a client's certificate must be signed with; None: clients need none."""
    tokens_dir: Path | None = None
    """Directory with a file for each caller that has its tokens, a line each; None: whoever comes is answered."""
    repository_token: str | None = None
    """Who shows it may have MODEL_PATH read again, by the model repository extension; None: nobody."""
    drain_delay: float = 0.0
    """Seconds after SIGTERM in which new connections are taken at least, twice as long if somebody comes; the chart
    sets 6."""
    unready_after: float = 0.0
    """Seconds after which whoever probes `/readyz` has seen a change; so long it stays, once it says 503."""
    shutdown_timeout: float = 30.0
    """Seconds that requests in flight get after the delay."""
    stream_url: str | None = dataclasses.field(default=None, repr=False)
    """The broker of `modelroll stream`: redis://, rediss://, kafka://, kafka+ssl://, nats:// or tls://."""
    stream_user: str | None = None
    """Whom the broker knows this client as, where its address does not say it."""
    stream_password: str | None = dataclasses.field(default=None, repr=False)
    """What proves that."""
    stream_sasl: str | None = None
    """How Kafka is shown the two: plain, scram-sha-256 or scram-sha-512."""
    stream_ca: Path | None = None
    """PEM file of those whose certificates are trusted of brokers over TLS; absent: those that the system trusts."""
    stream_certificate: Path | None = None
    """PEM file of this client's own certificate, where a broker asks for one."""
    stream_key: Path | None = None
    """PEM file of that certificate's key."""
    stream_input: str | None = None
    """The stream, topic or subject that events are read from."""
    stream_output: str | None = None
    """Where answers go; `stream_input` and `.predictions` if nothing is said."""
    stream_dead: str | None = None
    """Where events go that get no answer, with the reason; `stream_input` and `.dead` if nothing is said."""
    stream_group: str = "modelroll"
    """The consumer group: each event goes to one of the processes that name it."""
    stream_batch: int = 64
    """Events read at once, at most."""
    stream_claim_after: float = 30.0
    """Seconds of silence after which a consumer is taken for dead and its events are given to others; 6 at least."""
    stream_most_deliveries: int = 5
    """How often an event is given to a consumer before it is taken for what kills them (Redis and NATS count it)."""
    stream_most_bytes: int = 2**20
    """The largest event that is looked into."""
    pod_name: str = ""
    pod_uid: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    log_requests: bool = False


def from_environment(environment: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings; a flag that is not None wins over its variable, an empty variable counts as absent.

    Raises:
        SettingsError: a value cannot be used.
    """
    given: dict[str, Any] = {}
    for field in dataclasses.fields(Settings):
        flag = (flags or {}).get(field.name)
        text = str(flag) if flag is not None else environment.get(field.name.upper(), "")
        if text:
            given[field.name] = _PARSERS[field.name](field.name.upper(), text)
    if not given.get("model_path") and not given.get("target_dir"):
        raise SettingsError("MODEL_PATH is not set: name an artifact, a model file or a model's directory")
    given.setdefault("model_path", "")
    if given.get("workers", 1) != 1 and given.setdefault("grpc_port", None) is not None:
        raise SettingsError(f"GRPC_PORT is {given['grpc_port']}, and may be off where WORKERS is not 1")
    if given.get("artifact_policy") == "signed" and "signing_public_key" not in given:
        raise SettingsError("ARTIFACT_POLICY is signed, and SIGNING_PUBLIC_KEY does not say whose signatures count")
    if given.get("artifact_policy") != "signed" and "signing_public_key" in given:
        raise SettingsError("SIGNING_PUBLIC_KEY is set, and is looked at only where ARTIFACT_POLICY is signed")
    if given.get("workers", 1) != 1 and "repository_token" in given:
        raise SettingsError("REPOSITORY_TOKEN is set, and may be set only where WORKERS is 1")
    if "tls_client_ca" in given and "tls_dir" not in given:
        raise SettingsError("TLS_CLIENT_CA is set, and is looked at only where TLS_DIR is set")
    return Settings(**given)


def to_environment(settings: Settings) -> dict[str, str]:
    """The variables that `from_environment` reads the same settings from; what is not set is empty."""
    values = ((field.name.upper(), getattr(settings, field.name)) for field in dataclasses.fields(Settings))
    return {name: "" if value is None else str(value) for name, value in values}


def _text(_name: str, text: str) -> str:
    return text


def _path(_name: str, text: str) -> Path:
    return Path(text).absolute()


def _key(name: str, text: str) -> str:
    if text.lstrip().startswith("-----BEGIN"):
        return text
    try:
        return Path(text).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise SettingsError(f"{name} is {text!r}, and may be a PEM file, or what is in one: {why}") from error


def _choice(*allowed: str) -> Callable[[str, str], str]:
    def parse(name: str, text: str) -> str:
        if text.lower() not in allowed:
            raise SettingsError(f"{name} is {text!r}, and may be {' or '.join(allowed)}")
        return text.lower()

    return parse


def _port(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise SettingsError(f"{name} is {text!r}, and may be a port: 0 (any free one) to 65535")
    return int(text)


def _port_or_off(name: str, text: str) -> int | None:
    return None if text.lower() == "off" else _port(name, text)


def _token(name: str, text: str) -> str:
    if len(text) < 16 or not (text.isascii() and text.isprintable() and " " not in text):
        raise SettingsError(f"{name} is not shown here, and may be 16 or more printable ASCII characters")
    return text


def _message_bytes(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 11 and 1 <= int(text) < 2**31):
        raise SettingsError(f"{name} is {text!r}, and may be a number of bytes from 1 to {2**31 - 1}")
    return int(text)


def _workers(name: str, text: str) -> int | str:
    if text.lower() == "auto":
        return "auto"
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_WORKERS:
        raise SettingsError(f"{name} is {text!r}, and may be auto or a number from 1 to {MOST_WORKERS}")
    return int(text)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise SettingsError(f"{name} is {text!r}, and may be a number of seconds from 0 to 3600")
    return seconds


def _patience(name: str, text: str) -> float:
    seconds = _seconds(name, text)
    if seconds < SHORTEST_WORKER_TIMEOUT:
        raise SettingsError(f"{name} is {text!r}, and may be {SHORTEST_WORKER_TIMEOUT:g} seconds at least")
    return seconds


def _rows(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_BATCH_SIZE):
        raise SettingsError(f"{name} is {text!r}, and may be a number of rows from 1 to {MAX_BATCH_SIZE}")
    return int(text)


def _milliseconds(name: str, text: str) -> float:
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = -1.0
    if not 0 <= milliseconds <= 1000:
        raise SettingsError(f"{name} is {text!r}, and may be a number of milliseconds from 0 to 1000")
    return milliseconds


def _up_to_days(lowest: int, days: int) -> Callable[[str, str], float]:
    def parse(name: str, text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not lowest <= seconds <= days * 86_400:
            raise SettingsError(
                f"{name} is {text!r}, and may be a number of seconds from {lowest} to {days * 86_400} ({days} days)"
            )
        return seconds

    return parse


def _bytes(name: str, text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,15})(Ki|Mi|Gi)?", text, re.ASCII)
    if found is None:
        raise SettingsError(f"{name} is {text!r}, and may be a number of bytes such as 67108864, 65536Ki or 64Mi")
    return int(found[1]) * {None: 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[found[2]]


def _broker(name: str, text: str) -> str:
    # The value is not repeated: it may hold a password.
    try:
        several = text.split(",") if text.startswith(("kafka", "nats", "tls")) else [text]
        urls = [urllib.parse.urlsplit(url if "://" in url else f"//{url}") for url in several]
        wrong = urls[0].scheme not in BROKERS or not all(url.hostname for url in urls)
        _ = [url.port for url in urls]
    except ValueError:
        wrong = True
    if wrong:
        raise SettingsError(
            f"{name} may be an address such as redis://host:6379/0, kafka://host:9092 or nats://host:4222"
        )
    if text.startswith("kafka") and "@" in text:
        raise SettingsError(f"{name} may have no user and no password for Kafka: set STREAM_USER and STREAM_PASSWORD")
    return text


def _channel(name: str, text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:{}-]{1,200}", text, re.ASCII) or text.strip(".") != text:
        raise SettingsError(
            f"{name} is {text!r}, and may be letters, digits, and . _ - (in Redis : {{ }}), 200 at most"
        )
    return text


def _group(name: str, text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", text, re.ASCII):
        raise SettingsError(f"{name} is {text!r}, and may be letters, digits, - and _, 100 at most")
    return text


def _claim_after(name: str, text: str) -> float:
    seconds = _seconds(name, text)
    if not SHORTEST_CLAIM <= seconds <= LONGEST_CLAIM:
        raise SettingsError(
            f"{name} is {text!r}, and may be a number of seconds from {SHORTEST_CLAIM:g} to {LONGEST_CLAIM:g}"
        )
    return seconds


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5 and int(text) >= 1):
        raise SettingsError(f"{name} is {text!r}, and may be a number from 1 to 9999")
    return int(text)


def _redis(name: str, text: str) -> str:
    # The value is not repeated: it may hold a password.
    try:
        url = urllib.parse.urlsplit(text)
        wrong = url.scheme not in {"redis", "rediss", "unix"} or not (
            url.path if url.scheme == "unix" else url.hostname
        )
        _ = url.port
    except ValueError:
        wrong = True
    if wrong:
        raise SettingsError(f"{name} may be an address such as redis://host:6379/0, rediss://… (TLS) or unix:///path")
    return text


def _digest(name: str, text: str) -> str:
    algorithm, _, digits = text.partition(":")
    if algorithm != "sha256" or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise SettingsError(f"{name} is {text!r}, and may be sha256: and 64 hexadecimal digits")
    return text


def _flag(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0"}:
        raise SettingsError(f"{name} is {text!r}, and may be true or false")
    return text.lower() in {"true", "1"}


_PARSERS: Mapping[str, Callable[[str, str], Any]] = {
    "model_path": _text,
    "model_name": _text,
    "model_digest": _digest,
    "model_root": _path,
    "target_dir": _path,
    "state_dir": _path,
    "artifact_policy": _choice("digest", "signed", "any"),
    "signing_public_key": _key,
    "load": _choice("preload", "lazy"),
    "keep_previous": _flag,
    "extra_fields": _choice("refuse", "ignore"),
    "page": _flag,
    "max_batch_size": _rows,
    "max_batch_delay_ms": _milliseconds,
    "cache_size": _bytes,
    "cache_ttl": _up_to_days(1, 30),
    "cache_url": _redis,
    "cache_key": _text,
    "drift": _flag,
    "drift_window": _up_to_days(60, 7),
    "host": _text,
    "port": _port,
    "management_port": _port,
    "grpc_port": _port_or_off,
    "repository_token": _token,
    "tls_dir": _path,
    "tls_client_ca": _path,
    "tokens_dir": _path,
    "grpc_max_receive_bytes": _message_bytes,
    "grpc_max_send_bytes": _message_bytes,
    "workers": _workers,
    "worker_timeout": _patience,
    "drain_delay": _seconds,
    "unready_after": _seconds,
    "shutdown_timeout": _seconds,
    "stream_url": _broker,
    "stream_user": _text,
    "stream_password": _text,
    "stream_sasl": _choice("plain", "scram-sha-256", "scram-sha-512"),
    "stream_ca": _path,
    "stream_certificate": _path,
    "stream_key": _path,
    "stream_input": _channel,
    "stream_output": _channel,
    "stream_dead": _channel,
    "stream_group": _group,
    "stream_batch": _rows,
    "stream_claim_after": _claim_after,
    "stream_most_deliveries": _count,
    "stream_most_bytes": _bytes,
    "pod_name": _text,
    "pod_uid": _text,
    "log_level": _choice("debug", "info", "warning", "error"),
    "log_format": _choice("json", "console"),
    "log_requests": _flag,
}
