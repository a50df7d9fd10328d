"""`modelroll stream`: settings from flags and environment, then a consumer of a broker's events."""

import re
from typing import Any

import click

from modelroll_server.cli import process


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True))
@click.option("--url", "stream_url", metavar="URL", help="redis://host:6379/0, kafka://host:9092 or nats://host:4222.")
@click.option("--user", "stream_user", metavar="NAME", help="Whom the broker knows; its password is STREAM_PASSWORD.")
@click.option("--sasl", "stream_sasl", metavar="plain|scram-sha-256|scram-sha-512", help="How Kafka is shown the two.")
@click.option("--cacert", "stream_ca", metavar="FILE", help="PEM file of who signed the broker's certificate (TLS).")
@click.option("--certificate", "stream_certificate", metavar="FILE", help="PEM file of this client's certificate.")
@click.option("--key", "stream_key", metavar="FILE", help="PEM file of that certificate's key.")
@click.option("--input", "stream_input", metavar="NAME", help="Stream, topic or subject that events are read from.")
@click.option("--output", "stream_output", metavar="NAME", help="Where answers go (INPUT.predictions).")
@click.option("--dead", "stream_dead", metavar="NAME", help="Where events go that get no answer (INPUT.dead).")
@click.option("--group", "stream_group", metavar="NAME", help="Consumer group (modelroll).")
@click.option("--batch", "stream_batch", metavar="EVENTS", help="Events read at once, at most (64).")
@click.option(
    "--claim-after", "stream_claim_after", metavar="SECONDS", help="Silence after which a consumer is dead (30)."
)
@click.option(
    "--most-deliveries",
    "stream_most_deliveries",
    metavar="N",
    help="Deliveries after which an event is what kills consumers (5); not with Kafka.",
)
@click.option("--most-bytes", "stream_most_bytes", metavar="BYTES", help="The largest event looked into (1Mi).")
@click.option("--model", "model_name", metavar="NAME", help="The model's name; a manifest of another is refused.")
@click.option("--digest", "model_digest", metavar="sha256:…", help="The digest that PATH must have.")
@click.option("--target-dir", metavar="DIR", help="Directory of the files target, settled and move.")
@click.option("--host", help="Address to listen on.")
@click.option("--management-port", metavar="PORT", help="Port of probes, status and metrics (8081).")
@click.option("--shutdown-timeout", metavar="SECONDS", help="What was read gets after SIGTERM (30).")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", metavar="json|console", help="For machines or for people.")
def stream(path: str | None, **flags: Any) -> None:
    """Answer the events of a broker by PATH: an artifact, a model file, or a model's directory.

    Each event is a JSON row, and gets one answer, or a dead letter with the reason; at least one, whatever dies. Start
    as many processes of one group as you like. Without PATH the environment says what to load, as for `serve`.
    """
    from modelroll_server.stream import terms

    if re.search(r"@|[?&]password=", flags["stream_url"] or "", re.IGNORECASE):
        raise click.UsageError(
            "--url may have no user and no password, as whoever lists processes sees it: set STREAM_URL"
        )
    settings = process.configured(path, flags, terms.of)
    from modelroll_server import stream_app

    process.run(lambda: stream_app.run(settings))
