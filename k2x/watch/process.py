"""The watcher's loop: look at lag, look at the letters, tell people; each apart, so that one that fails costs only
itself. Guarantee: what is to be told is told at least once, at most one message a minute for an organisation and class.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from k2x.audit.log import Places
from k2x.errors import K2xError
from k2x.watch.channels import NotTold
from k2x.watch.digest import Digest, Message, Notice
from k2x.watch.lag import Behind, Lag, Sample
from k2x.watch.letters import Letters
from k2x.watch.metrics import Seen, WatchCollector, WatchCounters
from k2x.watch.settings import WatchSettings
from schemas.codec import Codec
from schemas.topics import org_of

log = structlog.get_logger()


class Watcher:
    """`run` until the event is set; or `look` once, in tests."""

    def __init__(
        self,
        settings: WatchSettings,
        kafka: Mapping[str, Any],
        codec: Codec,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seen = Seen()
        self._settings, self._clock = settings, clock
        self._lag = Lag(kafka, settings.groups)
        self._letters = Letters(kafka, codec, settings.orgs, notify=bool(settings.channels))
        self._digest = Digest(settings.notify_every_s)
        self._stalls = Stalls(settings.stalled_s)
        self._counters = WatchCounters(registry)
        self._heard: Places = {}
        self._unheard: Places = {}
        registry.register(WatchCollector(self.seen, settings.every_s))

    def run(self, stop: threading.Event) -> None:
        """Look again and again; the last look's messages may stay untold, and are told after the next start."""
        log.info("watch_started", every_s=self._settings.every_s, tells=[c.name for c in self._settings.channels])
        while not stop.is_set():
            began = time.monotonic()
            self.look()
            stop.wait(max(0.5, self._settings.every_s - (time.monotonic() - began)))
        log.info("watch_stopped")

    def look(self) -> None:
        """One look at everything."""
        self._part("lag", self._look_at_lag)
        self._part("letters", self._look_at_letters)
        self._part("notify", self._tell)

    def _part(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except K2xError as error:
            self._counters.failures.labels(name).inc()
            log.warning("watch_failed", part=name, error=str(error))
        except Exception:
            self._counters.failures.labels(name).inc()
            log.exception("watch_bug", part=name)

    def _look_at_lag(self) -> None:
        self.seen.sample = sample = self._lag.sample()
        if self._settings.channels:
            self._digest.add(self._stalls.new(sample))

    def _look_at_letters(self) -> None:
        look = self._letters.look()
        self.seen.letters = look.letters
        self._digest.add(look.notices)
        self._unheard = look.places

    def _tell(self) -> None:
        now = self._clock()
        for message in self._digest.due(now):
            if self._told(message):
                self._digest.sent(message, now)
            else:
                self._digest.failed(message, now)
        if self._settings.channels and self._digest.empty and self._unheard != self._heard:
            self._letters.heard(self._unheard)
            self._heard = dict(self._unheard)

    def _told(self, message: Message) -> bool:
        """Whether one channel at least has taken it: with two, a dead mailbox must not repeat the chat's messages."""
        told = False
        for channel in self._settings.channels:
            try:
                channel.tell(message)
            except NotTold as error:
                self._counters.failures.labels("notify").inc()
                log.warning("not_told", channel=channel.name, org=message.org, kind=message.kind, error=str(error))
                continue
            told = True
            self._counters.notified.labels(channel.name, message.org, message.kind).inc()
        return told


class Stalls:
    """Partitions with unread records and the same committed offset for `stalled_s`: each is told once. Pure."""

    def __init__(self, stalled_s: float) -> None:
        self._stalled_s = stalled_s
        self._since: dict[tuple[str, str, int], tuple[int | None, float]] = {}
        self._told: set[tuple[str, str, int]] = set()

    def new(self, sample: Sample) -> list[Notice]:
        """What has come to stand still."""
        moved = set(self._since)
        notices = []
        for one in sample.behind:
            key = (one.group, one.topic, one.partition)
            if not one.records:
                continue
            at, since = self._since.get(key, (one.committed, sample.at))
            if at != one.committed:
                at, since = one.committed, sample.at
                self._told.discard(key)
            self._since[key] = (at, since)
            moved.discard(key)
            if sample.at - since >= self._stalled_s and key not in self._told:
                self._told.add(key)
                notices.append(_stalled(one, sample.at - since, sample.members.get(one.group, 0)))
        for key in moved:  # nothing unread there any more
            self._since.pop(key, None)
            self._told.discard(key)
        return notices


def _stalled(one: Behind, seconds: float, members: int) -> Notice:
    try:
        org = org_of(one.topic)
    except ValueError:
        org = ""
    text = (
        f"{one.group} has not moved on {one.topic} [{one.partition}] for {seconds / 60:.0f} min; {one.records} records "
        f"wait, the oldest for {one.seconds / 60:.0f} min; the group has {members} members."
    )
    process = one.group.removeprefix("k2x-")
    then = f"Start it: `k2x run {process}`." if members == 0 else f"See the log of {process}, and k2x_sink_lane_state."
    return Notice(org, "stalled", text, then)
