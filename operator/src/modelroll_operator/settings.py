"""What the environment says. Read once, by `main`."""

import os
import socket
from dataclasses import dataclass


class SettingError(Exception):
    """A variable has a value that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings.

    Attributes:
        namespace: NAMESPACE: the one that it works in.
        identity: POD_NAME: who holds the Lease; default, the host's name and the process.
        management_port: MANAGEMENT_PORT.
        log_level: LOG_LEVEL.
        log_format: LOG_FORMAT: json or console.
    """

    namespace: str
    identity: str
    management_port: int
    log_level: str
    log_format: str


def from_environment() -> Settings:
    """The settings that the environment holds.

    Raises:
        SettingError: One of them cannot be used.
    """
    namespace = os.environ.get("NAMESPACE", "")
    if not namespace:
        raise SettingError("NAMESPACE: name the namespace to work in")
    port = os.environ.get("MANAGEMENT_PORT", "8081")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingError(f"MANAGEMENT_PORT: {port!r} is not a port")
    return Settings(
        namespace=namespace,
        identity=os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        management_port=int(port),
        log_level=_one_of("LOG_LEVEL", ("info", "debug", "warning", "error")),
        log_format=_one_of("LOG_FORMAT", ("json", "console")),
    )


def _one_of(name: str, values: tuple[str, ...]) -> str:
    value = os.environ.get(name, values[0]).lower()
    if value not in values:
        raise SettingError(f"{name}: {value!r} is none of {', '.join(values)}")
    return value
