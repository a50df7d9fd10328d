"""What a text of a CSV stands for: one rule for the rows of `predict` and `batch`."""

import json
import re
from typing import Any

from modelroll_server.schema import missing

_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}


def value(text: str, types: frozenset[str] | None) -> Any:
    """What a text stands for, as JSON would have it; the text itself where it is not what the column holds.

    Args:
        text: That.
        types: The JSON types that its column takes; None takes any.
    """
    if text in missing.SPELLINGS:
        return text if types == frozenset({"string"}) else None
    if types is None:
        return _parsed(text, json.loads) if _JSON_NUMBER.fullmatch(text) or text in _BOOLEANS else text
    if "string" in types:
        return text
    if "boolean" in types:
        return _BOOLEANS.get(text.lower(), text)
    if not _NUMBER.fullmatch(text.strip()):
        return text
    return _parsed(text, int) if text.strip().lstrip("+-").isdigit() else float(text)


def _parsed(text: str, parse: Any) -> Any:
    try:
        return parse(text)
    except ValueError:  # more digits than Python reads
        return text
