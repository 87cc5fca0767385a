"""Planned faults: which request is hit, and whether its work is done before the answer is lost."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from connectors.xero.sandbox.errors import SettingRefused

# kind → what it does. "After" kinds have committed; their idempotency key holds the true answer (500_after: the 500).
KINDS = {
    "drop_before": "close the connection, nothing done",
    "503": "503 plain text, nothing done",
    "404_html": "404 with an empty HTML body, nothing done",
    "429": "429 with `problem` and `retry_after`, nothing done",
    "401": "401 TokenExpired, nothing done",
    "stall_before": "wait `seconds`, then do it and answer",
    "500_before": "500, nothing done, kept under the idempotency key",
    "500_after": "do it, answer 500, which is kept under the idempotency key",
    "drop_after": "do it, close the connection without an answer",
    "stall_after": "do it, answer only after `seconds`",
    "truncate_after": "do it, send half of the answer and close",
    "html_200_after": "do it, answer 200 with an HTML page",
}


@dataclass
class Fault:
    """One rule.

    `nth` is the first matching request that is hit (1-based), `times` how many are (0: all), `probability` thins
    them.

    `path` is a regular expression searched in path and query; `seconds` are real seconds, because clients'
    time-outs are real.
    """

    kind: str
    method: str = ""
    path: str = ""
    org: str = ""
    nth: int = 1
    times: int = 1
    probability: float = 1.0
    seconds: float = 90.0
    problem: str = "minute"
    retry_after: int = 5
    seen: int = 0
    fired: int = 0

    def hits(self, method: str, url: str, org: str, rng: random.Random) -> bool:
        """Count the request, and say whether it is hit."""
        if self.method and self.method.upper() != method:
            return False
        if (self.org and self.org != org) or not re.search(self.path, url):
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times and self.fired >= self.times):
            return False
        if self.probability < 1 and rng.random() >= self.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """The plan; the first rule that hits wins."""

    def __init__(self, seed: int = 0):
        self.rules: list[Fault] = []
        self._rng = random.Random(seed)  # noqa: S311 - a repeatable plan, not a secret

    def add(self, record: Mapping[str, Any]) -> Fault:
        """Add a rule from JSON. Raises SettingRefused for what it does not know."""
        known = {one.name for one in fields(Fault)} - {"seen", "fired"}
        if unknown := set(record) - known:
            raise SettingRefused(f"fault has unknown keys {sorted(unknown)}; known: {sorted(known)}")
        if record.get("kind") not in KINDS:
            raise SettingRefused(f"unknown fault kind {record.get('kind')!r}; known: {KINDS}")
        try:
            re.compile(str(record.get("path", "")))
        except re.error as problem:
            raise SettingRefused(f"fault path is not a regular expression: {problem}") from problem
        rule = Fault(**record)
        self.rules.append(rule)
        return rule

    def clear(self, seed: int | None = None) -> None:
        """Forget all rules; with a seed, start the dice anew."""
        self.rules.clear()
        if seed is not None:
            self._rng.seed(seed)

    def pick(self, method: str, url: str, org: str) -> Fault | None:
        """The fault for this request, if any."""
        return next((rule for rule in self.rules if rule.hits(method, url, org, self._rng)), None)

    def describe(self) -> list[dict[str, Any]]:
        """The rules with what they have seen and done."""
        return [asdict(rule) for rule in self.rules]
