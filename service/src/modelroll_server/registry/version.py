"""One version in memory. A request holds the one it started on; the last to let go frees it."""

import dataclasses
from typing import Any

from modelroll_server.artifact.manifest import Manifest
from modelroll_server.registry.record import Served
from modelroll_server.registry.target import Content
from modelroll_server.runtimes.base import Runtime
from modelroll_server.schema import Schema
from modelroll_server.schema.arrays import ArrayDecoder
from modelroll_server.schema.json import JsonDecoder


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A loaded and checked version.

    Attributes:
        content: Where it came from, with the version and digest that were found there.
        manifest: Its own.
        json: Reads JSON rows of its inputs.
        runtime: What answers.
        seconds: How long loading and checking took.
        schema: Its inputs, compiled.
        arrays: Reads values of its inputs that come as arrays, or typed.
        attached: What other layers keep with a version (its queue, its counters), each under its class, so that it goes
            when the version goes.
    """

    content: Content
    manifest: Manifest
    json: JsonDecoder
    runtime: Runtime
    digest: str
    seconds: float
    schema: Schema = dataclasses.field(init=False)
    arrays: ArrayDecoder = dataclasses.field(init=False)
    attached: dict[type, Any] = dataclasses.field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", self.json.schema)
        object.__setattr__(self, "arrays", ArrayDecoder(self.json.schema))

    @property
    def model(self) -> str:
        """The model's name."""
        return self.manifest.model

    @property
    def number(self) -> str:
        """The version, such as `2.0.0`."""
        return self.manifest.version

    @property
    def served(self) -> Served:
        """The same in words."""
        return Served(self.content, self.model, self.number, self.digest, self.runtime.kind, self.seconds)
