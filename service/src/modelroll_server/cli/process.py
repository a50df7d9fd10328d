"""What the commands that run until they are told to end have in common: their settings, and their end."""

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from modelroll_server import errors
from modelroll_server import settings as configuration
from modelroll_server.telemetry import cpu, logs


def configured(
    path: str | None,
    flags: Mapping[str, Any],
    check: Callable[[configuration.Settings], object] = lambda _settings: None,
) -> configuration.Settings:
    """The settings of a process, whose log and threads are as they say from here on. Exits with 2 where they are bad.

    Args:
        path: What to load, if a person named it; else the environment says.
        flags: By the settings' names; one that is not None wins over its variable.
        check: What else there is to see to; raises SettingsError.
    """
    environment, given = dict(os.environ), dict(flags)
    if path is not None:
        # A person names a path of this machine, and trusts it.
        given["model_path"] = str(Path(path).absolute())
        environment.setdefault("ARTIFACT_POLICY", "any")
        environment.setdefault("LOG_FORMAT", "console" if sys.stderr.isatty() else "json")
    try:
        settings = configuration.from_environment(environment, given)
        check(settings)
    except configuration.SettingsError as error:
        # Where all is said by the environment, as in a pod, nobody thinks of flags.
        by_hand = path is not None or any(value is not None for value in flags.values())
        click.echo(f"modelroll: {_with_flags(str(error)) if by_hand else error}", err=True)
        sys.exit(2)
    logs.configure(settings.log_level, settings.log_format)
    # Before numpy is imported. One thread a computation: several requests are computed side by side instead, on as
    # many threads as there are CPUs.
    os.environ.update(cpu.thread_variables(1, os.environ))
    return settings


def _with_flags(sentence: str) -> str:
    """The sentence, with the flag that a person would use behind each variable that has one."""
    context = click.get_current_context(silent=True)
    if context is None:
        return sentence
    flags = {option.name.upper(): option.opts[0] for option in context.command.params if option.name}

    def named(found: re.Match[str]) -> str:
        flag = flags.get(found[0], "")
        return f"{found[0]} ({flag})" if flag.startswith("--") else found[0]

    return re.sub(r"\b[A-Z][A-Z_]+\b", named, sentence)


def run(main: Callable[[], None]) -> None:
    """Run it to its end, and end: with 1 and a sentence where it could not go on.

    A computation that nobody waits for, and still runs in a thread, keeps nobody from ending.
    """
    try:
        main()
    except errors.ModelrollError as error:
        click.echo(f"modelroll: {error}", err=True)
        sys.exit(1)
    busy = [thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon]
    if busy:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)
