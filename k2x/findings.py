"""One thing that `k2x check` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`level`: error (k2x will not work), warning (it will, but look), ok."""

    level: str
    where: str
    text: str
