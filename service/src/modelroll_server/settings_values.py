"""What a setting's text may be, and what is made of it: a function a kind of value, and which of them each setting has.

Owns the sentences for bad values. What settings there are, and which go together, `settings` knows.
"""

import re
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MAX_BATCH_SIZE = 1_024
MOST_WORKERS = 256
BROKERS = ("redis", "rediss", "kafka", "kafka+ssl", "nats", "tls")
SHORTEST_CLAIM, LONGEST_CLAIM = 6.0, 1800.0  # the shortest and the longest session that Kafka gives a consumer
SHORTEST_WORKER_TIMEOUT = 5.0  # a worker reports once a second, and may be late


class SettingsError(ValueError):
    """A setting that cannot be used; the message names the variable and says what it may be."""


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
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= 65535):
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
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MOST_WORKERS):
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
        wrong |= text.startswith("kafka") and any("://" in url for url in several[1:])  # the first says it for all
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


PARSERS: Mapping[str, Callable[[str, str], Any]] = {
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
