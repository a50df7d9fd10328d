"""The brokers of `brokers`, over TLS alone and for one user alone."""

import ssl
from pathlib import Path
from typing import Any

import brokers
from broker_guard import PASSWORD, USER, Guard, guard


def context(files: Guard) -> ssl.SSLContext:
    """What a client of such a broker needs."""
    found = ssl.create_default_context(cafile=files.authority)
    found.load_cert_chain(files.certificate, files.key)
    return found


class Redis(brokers.Redis):
    """One that asks for a client's certificate, too."""

    def __init__(self, directory: Path) -> None:
        self.guard = guard(directory)
        tls = ["--port", "0", "--tls-port", "PORT", "--tls-ca-cert-file", str(self.guard.authority)]
        own = ["--tls-cert-file", str(self.guard.certificate), "--tls-key-file", str(self.guard.key)]
        users = ["--user", "default", "off", "--user", USER, "on", "~*", "&*", "+@all", f">{PASSWORD}"]
        super().__init__(directory, *tls, *own, *users)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"rediss://127.0.0.1:{self.port}/0"

    def client(self) -> Any:
        """One of its own."""
        from redis.asyncio import Redis as Client

        return Client.from_url(
            self.url,
            username=USER,
            password=PASSWORD,
            ssl_ca_certs=str(self.guard.authority),
            ssl_certfile=str(self.guard.certificate),
            ssl_keyfile=str(self.guard.key),
        )


class Nats(brokers.Nats):
    """One that asks for a client's certificate, too."""

    def __init__(self, directory: Path) -> None:
        self.guard = guard(directory)
        self.options = {"user": USER, "password": PASSWORD, "tls": context(self.guard)}
        files = ["--tlscert", self.guard.certificate, "--tlskey", self.guard.key, "--tlscacert", self.guard.authority]
        super().__init__(directory, "--user", USER, "--pass", PASSWORD, "--tlsverify", *map(str, files))

    @property
    def url(self) -> str:
        """Where it is."""
        return f"tls://127.0.0.1:{self.port}"


class Kafka(brokers.Kafka):
    """One that knows its users by SCRAM."""

    MECHANISM = "SCRAM-SHA-512"
    protocol = "SASL_SSL"

    def __init__(self, directory: Path) -> None:
        self.guard = guard(directory)
        store = directory / "store.pem"
        store.write_bytes(self.guard.key.read_bytes() + self.guard.certificate.read_bytes())
        self.properties = f"""\
ssl.keystore.type=PEM
ssl.keystore.location={store}
sasl.enabled.mechanisms={self.MECHANISM}
listener.name.clients.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
        self.format_options = ("--add-scram", f"{self.MECHANISM}=[name={USER},password={PASSWORD}]")
        self.options = {
            "security_protocol": self.protocol,
            "ssl_context": context(self.guard),
            "sasl_mechanism": self.MECHANISM,
            "sasl_plain_username": USER,
            "sasl_plain_password": PASSWORD,
        }
        super().__init__(directory)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"kafka+ssl://127.0.0.1:{self.port}"
