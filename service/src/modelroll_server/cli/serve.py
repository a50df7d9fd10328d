"""`modelroll serve`: settings from flags and environment, then the server."""

import os
from typing import Any

import click

from modelroll_server import settings as configuration
from modelroll_server.cli import process
from modelroll_server.telemetry import cpu, traces


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True))
@click.option("--model", "model_name", metavar="NAME", help="The model's name; a manifest of another is refused.")
@click.option("--digest", "model_digest", metavar="sha256:…", help="The digest that PATH must have.")
@click.option("--root", "model_root", metavar="DIR", help="The mount that targets are relative to.")
@click.option("--target-dir", metavar="DIR", help="Directory of the files target, settled and move.")
@click.option("--state-dir", metavar="DIR", help="Writable directory for the load marker.")
@click.option(
    "--artifact-policy", metavar="digest|signed|any", help="Whether a pickle needs a digest, or all a signature."
)
@click.option("--signing-public-key", metavar="FILE", help="PEM file of the keys whose signatures count (signed).")
@click.option("--load", metavar="preload|lazy", help="Load before being ready, or on the first request.")
@click.option("--extra-fields", metavar="refuse|ignore", help="What happens to fields that the model does not know.")
@click.option("--page", metavar="true|false", help="Whether there is a page for people at / (true).")
@click.option("--max-batch-size", metavar="ROWS", help="Rows computed together, to begin with (32).")
@click.option("--max-batch-delay-ms", metavar="MS", help="How long a row may wait for others (0).")
@click.option("--host", help="Address to listen on.")
@click.option("--port", metavar="PORT", help="Port of predictions (8000).")
@click.option("--management-port", metavar="PORT", help="Port of probes, status and metrics (8081).")
@click.option("--grpc-port", metavar="PORT|off", help="Port of gRPC (50051), or off; off with --workers.")
@click.option(
    "--workers",
    metavar="N|auto",
    help="Processes that answer (1), without gRPC where there are more; auto: one for each usable CPU.",
)
@click.option("--worker-timeout", metavar="SECONDS", help="Silence after which a worker is started anew (60).")
@click.option("--tls-dir", metavar="DIR", help="Directory of tls.crt and tls.key: predictions over TLS alone.")
@click.option("--tls-client-ca", metavar="FILE", help="PEM file of who signs the certificates that clients must show.")
@click.option("--tokens-dir", metavar="DIR", help="Directory with a file for each caller that has its tokens.")
@click.option("--drain-delay", metavar="SECONDS", help="Between SIGTERM and the close of idle connections.")
@click.option("--shutdown-timeout", metavar="SECONDS", help="What requests in flight get after that.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", metavar="json|console", help="For machines or for people.")
@click.option("--log-requests", is_flag=True, default=None, help="One line a request.")
def serve(path: str | None, **flags: Any) -> None:
    """Serve PATH: an artifact, a model file, or a model's directory, whose highest complete version is followed.

    Without PATH the environment says what to serve (MODEL_PATH, TARGET_DIR, …); a flag wins over its variable.
    """
    settings = process.configured(path, flags)
    process.run(lambda: _run(settings))


def _run(settings: configuration.Settings) -> None:
    workers = cpu.usable() if settings.workers == "auto" else settings.workers
    if workers == 1:
        from modelroll_server import app

        app.run(settings, traces.from_environment(os.environ, traces.SERVER))
    else:
        from modelroll_server.workers import parent

        parent.run(settings, workers)
