"""What a consumer is told, made of the settings and checked as a whole, at start."""

import dataclasses
import re
import secrets
import socket
import ssl
from pathlib import Path

from modelroll_server.settings import Settings, SettingsError
from modelroll_server.stream.credentials import Credentials


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """What a broker's module is told.

    Attributes:
        url: Where the broker is.
        credentials: How the two know each other.
        input: Where events are read from.
        output: Where answers go.
        dead: Where dead letters go.
        group: The consumer group.
        consumer: This process in it; no other process ever has the same name.
        batch: Events read at once, at most.
        claim_after: Seconds of silence after which a consumer's events are given to others.
        drain: Seconds that what was read gets on the way out.
    """

    url: str
    credentials: Credentials
    input: str
    output: str
    dead: str
    group: str
    consumer: str
    batch: int
    claim_after: float
    drain: float

    @property
    def shown(self) -> str:
        """The broker's address without the password that it may hold."""
        scheme, _, rest = self.url.partition("://")
        several = [rest] if scheme.startswith("redis") else rest.split(",")
        hosts = (one.rpartition("://")[2].rpartition("@")[2] for one in several)
        return f"{scheme}://{','.join(re.split('[/?#]', host, maxsplit=1)[0] for host in hosts)}"


def of(settings: Settings) -> Terms:
    """The terms of one consumer process.

    Raises:
        SettingsError: something is not said, or cannot go together.
    """
    if settings.stream_url is None:
        raise SettingsError("STREAM_URL is not set: name a broker, such as redis://host:6379/0")
    if settings.stream_input is None:
        raise SettingsError("STREAM_INPUT is not set: name the stream, topic or subject to read events from")
    if settings.stream_input in (settings.stream_output, settings.stream_dead):
        raise SettingsError("STREAM_OUTPUT and STREAM_DEAD may not be STREAM_INPUT: answers would be read as events")
    output = settings.stream_output or f"{settings.stream_input}.predictions"
    dead = settings.stream_dead or f"{settings.stream_input}.dead"
    if output == dead:
        raise SettingsError(
            f"STREAM_OUTPUT and STREAM_DEAD are both {output}: dead letters could not be told from answers"
        )
    if settings.workers != 1:
        raise SettingsError("WORKERS may be 1 for streams: start more processes of the same STREAM_GROUP instead")
    return Terms(
        url=settings.stream_url,
        credentials=_credentials(settings, settings.stream_url),
        input=settings.stream_input,
        output=output,
        dead=dead,
        group=settings.stream_group,
        # A name that was used before would be given what a process that died under it was given.
        consumer=f"{settings.pod_name or socket.gethostname()}-{secrets.token_hex(4)}",
        batch=settings.stream_batch,
        claim_after=settings.stream_claim_after,
        drain=settings.shutdown_timeout,
    )


def _credentials(settings: Settings, url: str) -> Credentials:
    scheme = url.partition("://")[0]
    user, password = settings.stream_user, settings.stream_password
    if user is not None and password is None:
        raise SettingsError("STREAM_USER is set, and STREAM_PASSWORD is not")
    if password is not None and "@" in url:
        raise SettingsError("STREAM_URL has a user or a password, and STREAM_PASSWORD is set: say it in one place")
    if scheme.startswith("kafka"):
        if password is not None and (user is None or settings.stream_sasl is None):
            raise SettingsError("STREAM_PASSWORD is set, and Kafka needs STREAM_USER and STREAM_SASL with it")
    elif password is not None and user is None and not scheme.startswith("redis"):
        raise SettingsError("STREAM_PASSWORD is set, and NATS needs STREAM_USER with it")
    if settings.stream_sasl is not None and (password is None or not scheme.startswith("kafka")):
        raise SettingsError("STREAM_SASL is how Kafka is shown STREAM_USER and STREAM_PASSWORD: set it with those")
    files = (settings.stream_ca, settings.stream_certificate, settings.stream_key)
    tls = scheme in {"rediss", "kafka+ssl", "tls"}
    if any(files) and not tls:
        raise SettingsError("STREAM_CA, STREAM_CERTIFICATE and STREAM_KEY are of TLS: STREAM_URL is one without")
    if (settings.stream_certificate is None) != (settings.stream_key is None):
        raise SettingsError("STREAM_CERTIFICATE and STREAM_KEY belong together: set both, or none")
    credentials = Credentials(tls, *files, user, password, settings.stream_sasl)
    _check("STREAM_CA", dataclasses.replace(credentials, certificate=None, key=None), settings.stream_ca)
    _check("STREAM_CERTIFICATE or STREAM_KEY", credentials, settings.stream_certificate)
    return credentials


def _check(name: str, credentials: Credentials, file: Path | None) -> None:
    if file is None:
        return
    try:
        credentials.context()
    except (OSError, ssl.SSLError) as error:
        why = "it is none" if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingsError(f"{name} may be a PEM file; {file} cannot be used: {why}") from error
