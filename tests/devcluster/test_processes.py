"""Processes of the node are ended by pid and program, and pins decide what is built."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

Bash = Callable[[str], subprocess.CompletedProcess[str]]


# Its entry may stay for as long as nobody has asked what it ended with; its command does not.
GONE = '! grep -qsa sleep "/proc/$pid/cmdline"'


def test_a_process_that_was_started_is_ended(bash: Bash) -> None:
    result = bash(f"start it sleep 600; pid=$(pid_of it); stop it; {GONE} && ! is_alive it")

    assert result.returncode == 0, result.stderr


def test_a_frozen_process_is_ended(bash: Bash) -> None:
    result = bash(f'start it sleep 600; pid=$(pid_of it); kill -STOP "$pid"; stop it; {GONE}')

    assert result.returncode == 0, result.stderr


def test_a_pid_that_another_program_was_given_is_left_alone(bash: Bash, tmp_path: Path) -> None:
    (tmp_path / "etcd.pid").write_text(f"{os.getpid()} /var/lib/devcluster/bin/etcd\n")

    result = bash("! is_alive etcd && stop etcd")

    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "etcd.pid").exists()


def test_waiting_ends_with_the_name_of_what_did_not_come(bash: Bash) -> None:
    result = bash("wait_for 'the moon' 0 false")

    assert result.returncode == 1
    assert "the moon was not there after 0 s" in result.stdout


def test_a_tool_is_built_once_and_again_when_its_pins_change(bash: Bash, tmp_path: Path) -> None:
    tool = tmp_path / "tools" / "coredns"
    tool.mkdir(parents=True)
    (tool / "go.mod").write_text("module m\n")

    result = bash(
        "HERE=$RUN; compile() { echo compiled $1; printf '#!/bin/true' >$BIN/coredns; chmod +x $BIN/coredns; }\n"
        "build_tool coredns; build_tool coredns; echo '// changed' >>$HERE/tools/coredns/go.mod; build_tool coredns"
    )

    assert result.stdout.count("compiled coredns") == 2, result.stdout + result.stderr
