"""What the watcher is told. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from k2x.watch.channels import Channel
from k2x.watch.lag import Watched


@dataclass(frozen=True)
class WatchSettings:
    """`groups`: who reads what; `channels`: where people are told; `stalled_s`: work that does not move is told."""

    orgs: tuple[str, ...]
    groups: tuple[Watched, ...]
    every_s: float = 15.0
    stalled_s: float = 300.0
    notify_every_s: float = 60.0
    channels: tuple[Channel, ...] = ()
