"""The command line. Each command's module is imported when it is called: `serve` must not pay for `pack`."""

import importlib
from collections.abc import Mapping

import click

_COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("modelroll_server.cli.serve", "Serve an artifact, a model file, or a model's directory."),
    "stream": ("modelroll_server.cli.stream", "Answer the events of Redis Streams, Kafka or NATS."),
    "predict": ("modelroll_server.cli.predict", "Ask a running server, and show its answers as a table."),
    "batch": ("modelroll_server.cli.batch", "Predict every row of a file, and write them to another."),
    "pack": ("modelroll_server.cli.pack", "Make an artifact of a trained model."),
    "sign": ("modelroll_server.cli.sign", "Sign an artifact with a private key."),
    "verify": ("modelroll_server.cli.verify", "Check an artifact: every hash, its signature, and its golden rows."),
    "push": ("modelroll_server.cli.push", "Copy artifacts onto a PersistentVolumeClaim."),
    "rollout": ("modelroll_server.cli.rollout", "See and steer the rollouts of ModelVersions."),
    "receive": ("modelroll_server.cli.receive", "The other end of push, inside the cluster."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name, and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of a model's life."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="modelroll-server", prog_name="modelroll")
def main() -> None:
    """Serve scikit-learn models, and roll new versions over them without one failed answer."""
