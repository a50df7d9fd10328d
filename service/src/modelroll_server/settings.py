"""What a server is told from outside: environment variables and flags, checked once, at start.

Owns the names, the defaults and what goes together. Knows nothing of what the settings are for. Only those that build a
process read them (`app`, `stream_app`, `workers`, `cli`), and the `terms` of `stream` and `registry`, made of several.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from modelroll_server.settings_values import PARSERS, SettingsError

__all__ = ["Settings", "SettingsError", "from_environment", "to_environment"]


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
    repository_token: str | None = dataclasses.field(default=None, repr=False)
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
            given[field.name] = PARSERS[field.name](field.name.upper(), text)
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
