"""A worker's copy of `k2x.rules.v1`: the version in force of each organisation (key `org|latest`). Reads only."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import cast

import structlog

from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.types import RulesVersion

log = structlog.get_logger("k2x.streams")

OnRules = Callable[[str, RulesVersion | None], None]
_LATEST = "latest"


class RulesCopy:
    """A `streams.compacted.Copy`. `on_rules(org, version)` gets the version in force; None: taken away.

    The immutable versions (key `org|version`) are kept on the topic for people and replay; a worker needs the newest.
    """

    def __init__(self, codec: Codec, orgs: Collection[str], on_rules: OnRules) -> None:
        self._codec = codec
        self._orgs = frozenset(orgs)
        self._on_rules = on_rules
        self._changed: dict[str, RulesVersion | None] = {}

    def apply(self, key: bytes, value: bytes | None) -> None:
        org, _, version = key.decode("utf-8", "replace").rpartition("|")
        if version != _LATEST or org not in self._orgs:
            return
        if value is None:
            self._changed[org] = None
            return
        try:
            self._changed[org] = cast(RulesVersion, self._codec.decode(value))
        except SchemaError as error:  # the version before stays in force: better old rules than none
            log.error("rules_unreadable", org=org, error=str(error))

    def publish(self) -> None:
        changed, self._changed = self._changed, {}
        for org, version in changed.items():
            self._on_rules(org, version)
