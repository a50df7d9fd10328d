"""Argo CD's side of a health check: the Lua of k8s/argocd, given an object and the libraries that Argo CD gives it."""

from pathlib import Path
from typing import Any

from lupa.lua51 import LuaRuntime

SCRIPT = Path(__file__).resolve().parents[1] / "k8s" / "argocd" / "health.lua"
STATUSES = frozenset({"Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"})
# Argo CD gives a check the base, table and package libraries, and parts of os.
MISSING = ("string", "math", "io", "os", "debug", "coroutine")


def health(item: dict[str, Any]) -> tuple[str, str]:
    """Status and message that the check gives an object."""
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    for name in MISSING:
        lua.globals()[name] = None
    lua.globals().obj = lua.table_from(item, recursive=True)
    found = lua.execute(SCRIPT.read_text())
    assert found.status in STATUSES
    return str(found.status), str(found.message)
