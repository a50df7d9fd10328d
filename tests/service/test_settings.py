"""Settings: defaults, flags over variables, and a sentence for every value that cannot be used."""

from pathlib import Path

import pytest

from modelroll_server import settings
from modelroll_server.settings import SettingsError
from modelroll_server.stream import terms


def test_defaults_are_those_of_the_seams_page() -> None:
    found = settings.from_environment({"MODEL_PATH": "churn/1.2.0"})
    assert found == settings.Settings("churn/1.2.0")
    assert (found.model_root, found.artifact_policy, found.load) == (Path("/models"), "digest", "preload")
    assert (found.port, found.management_port, found.drain_delay, found.shutdown_timeout) == (8000, 8081, 0, 30)


def test_a_flag_wins_over_its_variable() -> None:
    found = settings.from_environment({"MODEL_PATH": "a", "PORT": "1"}, {"port": "2", "host": None})
    assert found.port == 2


def test_an_empty_variable_counts_as_absent() -> None:
    assert settings.from_environment({"MODEL_PATH": "a", "MODEL_DIGEST": "", "TARGET_DIR": ""}).model_digest is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        pytest.param("PORT", "9" * 5000, id="PORT-many-digits"),
        pytest.param("WORKERS", "9" * 5000, id="WORKERS-many-digits"),
        ("MANAGEMENT_PORT", "-1"),
        ("GRPC_PORT", "none"),
        ("GRPC_MAX_RECEIVE_BYTES", "0"),
        ("GRPC_MAX_SEND_BYTES", "2147483648"),
        ("WORKERS", "0"),
        ("WORKERS", "257"),
        ("WORKERS", "two"),
        ("WORKER_TIMEOUT", "long"),
        ("WORKER_TIMEOUT", "4.9"),
        ("WORKER_TIMEOUT", "nan"),
        ("DRAIN_DELAY", "soon"),
        ("DRAIN_DELAY", "nan"),
        ("UNREADY_AFTER", "-1"),
        ("SHUTDOWN_TIMEOUT", "-1"),
        ("MODEL_DIGEST", "sha256:1234"),
        ("MODEL_DIGEST", "md5:" + "0" * 64),
        ("ARTIFACT_POLICY", "none"),
        ("LOAD", "never"),
        ("EXTRA_FIELDS", "maybe"),
        ("KEEP_PREVIOUS", "sometimes"),
        ("PAGE", "blank"),
        ("MAX_BATCH_SIZE", "0"),
        ("MAX_BATCH_SIZE", "1025"),
        ("MAX_BATCH_SIZE", "²"),
        ("MAX_BATCH_DELAY_MS", "nan"),
        ("MAX_BATCH_DELAY_MS", "-1"),
        ("CACHE_SIZE", "64M"),
        ("CACHE_SIZE", "-1"),
        ("DRIFT", "maybe"),
        ("DRIFT_WINDOW", "59"),
        ("DRIFT_WINDOW", "nan"),
        ("CACHE_TTL", "0"),
        ("CACHE_TTL", "nan"),
        ("STREAM_INPUT", "two words"),
        ("STREAM_OUTPUT", ".hidden"),
        ("STREAM_DEAD", "sensors.*"),
        ("STREAM_GROUP", "a.b"),
        ("STREAM_BATCH", "0"),
        ("STREAM_CLAIM_AFTER", "5"),
        ("STREAM_CLAIM_AFTER", "nan"),
        ("STREAM_CLAIM_AFTER", "1801"),
        ("STREAM_MOST_DELIVERIES", "0"),
        ("STREAM_MOST_BYTES", "1M"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("LOG_REQUESTS", "perhaps"),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is '{value}', and may be "):
        settings.from_environment({"MODEL_PATH": "a", name: value})


def test_a_policy_that_wants_signatures_needs_a_key_and_no_other_takes_one(tmp_path: Path) -> None:
    key = "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"
    (tmp_path / "key.pub").write_text(key)
    signed = {"MODEL_PATH": "a", "ARTIFACT_POLICY": "signed"}
    for given in (key, str(tmp_path / "key.pub")):
        found = settings.from_environment({**signed, "SIGNING_PUBLIC_KEY": given})
        assert (found.artifact_policy, found.signing_public_key) == ("signed", key)
        assert settings.from_environment(settings.to_environment(found)) == found
    with pytest.raises(SettingsError, match="SIGNING_PUBLIC_KEY does not say whose signatures count"):
        settings.from_environment(signed)
    with pytest.raises(SettingsError, match="SIGNING_PUBLIC_KEY is set, and is looked at only where"):
        settings.from_environment({"MODEL_PATH": "a", "SIGNING_PUBLIC_KEY": key})
    with pytest.raises(SettingsError, match=r"^SIGNING_PUBLIC_KEY is '.+', and may be a PEM file"):
        settings.from_environment({**signed, "SIGNING_PUBLIC_KEY": str(tmp_path / "absent")})


def test_grpc_may_be_off() -> None:
    assert settings.from_environment({"MODEL_PATH": "a", "GRPC_PORT": "off"}).grpc_port is None
    assert settings.from_environment({"MODEL_PATH": "a"}).grpc_port == 50051


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("1000", 1000), ("2Ki", 2048), ("64Mi", 2**26), ("1Gi", 2**30)])
def test_a_size_is_written_as_kubernetes_writes_it(text: str, size: int) -> None:
    assert settings.from_environment({"MODEL_PATH": "a", "CACHE_SIZE": text}).cache_size == size


@pytest.mark.parametrize("url", ["redis://:secret@", "secret", "http://secret", "redis://host:secret", "unix://"])
def test_a_bad_cache_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^CACHE_URL may be an address") as refused:
        settings.from_environment({"MODEL_PATH": "a", "CACHE_URL": url})
    assert "secret" not in str(refused.value)


def test_no_token_or_password_is_shown() -> None:
    secrets = {"REPOSITORY_TOKEN": "secret-of-the-repository", "STREAM_PASSWORD": "secret"}
    found = settings.from_environment({"MODEL_PATH": "a", **secrets})
    assert found.repository_token == "secret-of-the-repository"
    assert "secret" not in repr(found)


@pytest.mark.parametrize("url", ["redis://redis", "rediss://user:secret@redis:6380/1", "unix:///run/redis.sock"])
def test_a_cache_url_and_its_key_are_not_shown(url: str) -> None:
    found = settings.from_environment({"MODEL_PATH": "a", "CACHE_URL": url, "CACHE_KEY": "secret"})
    assert found.cache_url == url
    assert url not in repr(found)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:secret@redis:6379/0",
        "redis://redis:6379?password=secret",
        "rediss://redis/0?db=1&password=secret",
        "rediss://redis",
        "kafka://one:9092,two:9092",
        "kafka+ssl://kafka:9093",
        "nats://user:secret@one:4222,nats://two:4222",
        "tls://nats:4222",
    ],
)
def test_a_broker_is_named_by_its_address_which_is_not_shown(url: str) -> None:
    found = settings.from_environment({"MODEL_PATH": "a", "STREAM_URL": url, "STREAM_INPUT": "sensors"})
    assert "secret" not in terms.of(found).shown
    assert found.stream_url == url
    assert url not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "amqp://secret",
        "redis://",
        "redis://:6379",
        "kafka://one:secret",
        "nats://a,",
        "kafka://a,://",
        "kafka://a:9092,kafka://secret:9092",
    ],
)
def test_a_bad_broker_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^STREAM_URL may be an address such as redis://") as refused:
        settings.from_environment({"MODEL_PATH": "a", "STREAM_URL": url})
    assert "secret" not in str(refused.value)


def test_what_streams_need_is_asked_for_by_name() -> None:
    with pytest.raises(SettingsError, match=r"^STREAM_URL may have no user and no password for Kafka"):
        settings.from_environment({"MODEL_PATH": "a", "STREAM_URL": "kafka://user:secret@kafka:9092"})
    given = {"MODEL_PATH": "a"}
    for name, value in (("STREAM_URL", "redis://redis"), ("STREAM_INPUT", "sensors")):
        with pytest.raises(SettingsError, match=f"^{name} is not set"):
            terms.of(settings.from_environment(given))
        given[name] = value
    terms.of(settings.from_environment(given))
    with pytest.raises(SettingsError, match="STREAM_DEAD may not be STREAM_INPUT"):
        terms.of(settings.from_environment({**given, "STREAM_DEAD": "sensors"}))
    for same in ({"STREAM_OUTPUT": "a", "STREAM_DEAD": "a"}, {"STREAM_DEAD": "sensors.predictions"}):
        with pytest.raises(SettingsError, match="dead letters could not be told from answers"):
            terms.of(settings.from_environment({**given, **same}))
    with pytest.raises(SettingsError, match="WORKERS may be 1 for streams"):
        terms.of(settings.from_environment({**given, "WORKERS": "2"}))


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("redis://redis", {"STREAM_USER": "a"}, "STREAM_USER is set, and STREAM_PASSWORD is not"),
        ("redis://a:b@redis", {"STREAM_PASSWORD": "secret"}, "say it in one place"),
        ("nats://nats", {"STREAM_PASSWORD": "secret"}, "NATS needs STREAM_USER"),
        ("kafka://kafka", {"STREAM_PASSWORD": "secret"}, "Kafka needs STREAM_USER and STREAM_SASL"),
        ("kafka://kafka", {"STREAM_PASSWORD": "secret", "STREAM_USER": "a"}, "Kafka needs STREAM_USER and STREAM_SASL"),
        ("kafka://kafka", {"STREAM_SASL": "plain"}, "STREAM_SASL is how Kafka"),
        ("redis://redis", {"STREAM_SASL": "plain", "STREAM_PASSWORD": "secret"}, "STREAM_SASL is how Kafka"),
        ("redis://redis", {"STREAM_CA": "ca.pem"}, "STREAM_URL is one without"),
        ("rediss://redis", {"STREAM_CERTIFICATE": "tls.pem"}, "belong together"),
        (
            "rediss://redis",
            {"STREAM_CA": "absent.pem"},
            "STREAM_CA may be a PEM file; .*absent.pem cannot be used: No such",
        ),
        ("tls://nats", {"STREAM_CA": __file__}, "STREAM_CA may be a PEM file; .* cannot be used: it is none"),
        (
            "tls://nats",
            {"STREAM_CERTIFICATE": __file__, "STREAM_KEY": __file__},
            "STREAM_CERTIFICATE or STREAM_KEY may be a PEM file",
        ),
    ],
)
def test_who_a_broker_knows_is_said_in_full_and_once(url: str, more: dict[str, str], said: str) -> None:
    given = {"MODEL_PATH": "a", "STREAM_INPUT": "sensors", "STREAM_URL": url, **more}
    with pytest.raises(SettingsError, match=said) as refused:
        terms.of(settings.from_environment(given))
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(settings.from_environment(given))


def test_what_a_consumer_is_told_shows_no_password() -> None:
    given = {"MODEL_PATH": "a", "STREAM_INPUT": "sensors", "STREAM_URL": "nats://a:secret@one:4222,nats://two:4222"}
    assert terms.of(settings.from_environment(given)).shown == "nats://one:4222,two:4222"
    given = {**given, "STREAM_URL": "tls://one", "STREAM_USER": "a", "STREAM_PASSWORD": "secret"}
    assert "secret" not in repr(terms.of(settings.from_environment(given)))


def test_nothing_to_serve_is_refused() -> None:
    with pytest.raises(SettingsError, match="MODEL_PATH is not set"):
        settings.from_environment({})


def test_several_workers_speak_no_grpc() -> None:
    assert settings.from_environment({"MODEL_PATH": "a", "WORKERS": "2"}).grpc_port is None
    assert settings.from_environment({"MODEL_PATH": "a", "WORKERS": "auto", "GRPC_PORT": "off"}).grpc_port is None
    with pytest.raises(SettingsError, match="GRPC_PORT is 50051, and may be off"):
        settings.from_environment({"MODEL_PATH": "a", "WORKERS": "2", "GRPC_PORT": "50051"})


def test_a_worker_is_told_by_its_environment_what_its_parent_was_told() -> None:
    given = {"MODEL_PATH": "a", "WORKERS": "auto", "LOG_REQUESTS": "true", "DRAIN_DELAY": "0.5", "STATE_DIR": "/state"}
    found = settings.from_environment(given, {"port": "1"})
    assert found.workers == "auto"
    assert settings.from_environment(settings.to_environment(found)) == found


def test_authorities_of_clients_need_tls() -> None:
    given = {"MODEL_PATH": "a", "TLS_CLIENT_CA": "/run/ca.crt"}
    with pytest.raises(SettingsError, match="looked at only where TLS_DIR is set"):
        settings.from_environment(given)
    found = settings.from_environment({**given, "TLS_DIR": "/run/tls"})
    assert settings.from_environment(settings.to_environment(found)) == found
