"""People are told directly when an organisation's lane holds still: by the sink itself, for nobody else knows at once.

A lane that Xero keeps out knocks once a minute and holds still again; that is one pause, told once. What is said stays
in memory only: a sink that ends before it was told says it again when its next life finds the lane as it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from connectors.xero.metrics import SinkMetrics
from k2x.watch.channels import Channel, NotTold
from k2x.watch.digest import Digest, Notice

log = structlog.get_logger()

_QUIET_S = 300.0  # so long without a pause ends it: the next is another one
_LOOK_S = 1.0
_SEE = {
    "day": "Nothing: it goes on by itself when Xero's day begins anew. docs/runbooks/K2xDayBudgetLow.md",
    "limit": "Look which other program calls for this organisation. docs/runbooks/K2xPaused.md",
    "xero": "See `k2x xero status`. docs/runbooks/K2xPaused.md",
}
_STOPPED = {
    "failed": "It is taken over again by itself; the sink's log says why. docs/runbooks/K2xLaneNotRunning.md",
    "refused": "Add it to this sink's k2x.yaml. docs/runbooks/K2xLaneNotRunning.md",
    "ledger_lost": "`k2x ledger rebuild`. docs/runbooks/K2xLaneNotRunning.md",
}


class Pauses:
    """Which pause or stop is news. Pure: time is passed in."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], float] = {}

    def paused(self, org: str, reason: str, seconds: float, now: float) -> Notice | None:
        """`reason` "": it does not hold still."""
        if not reason or not self._is_news(org, f"waiting:{reason}", now):
            return None
        text = f"the lane of {org} holds still for {seconds:.0f} s ({reason}); its orders wait and none is lost."
        return Notice(org, f"waiting:{reason}", text, _SEE.get(reason, ""))

    def state(self, org: str, state: str, now: float) -> Notice | None:
        if state not in _STOPPED or not self._is_news(org, f"lane:{state}", now):
            return None
        return Notice(org, f"lane:{state}", f"the lane of {org} is {state}: nothing is posted for it.", _STOPPED[state])

    def _is_news(self, org: str, kind: str, now: float) -> bool:
        before = self._last.get((org, kind))
        self._last[org, kind] = now
        return before is None or now - before > _QUIET_S


class TellingMetrics(SinkMetrics):
    """The sink's metrics, which also tell people. `run` in a thread of its own until `stop`."""

    def __init__(
        self,
        channels: Sequence[Channel],
        every_s: float,
        registry: CollectorRegistry = REGISTRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(registry)
        self._channels, self._clock = channels, clock
        self._pauses, self._digest = Pauses(), Digest(every_s)
        self._lock = threading.Lock()
        self.not_told = Counter(
            "k2x_sink_not_told", "Messages that a channel did not take", ["channel"], registry=registry
        )

    def paused(self, org: str, reason: str, seconds: float) -> None:
        super().paused(org, reason, seconds)
        self._say(lambda now: self._pauses.paused(org, reason, seconds, now))

    def state(self, org: str, state: str) -> None:
        super().state(org, state)
        self._say(lambda now: self._pauses.state(org, state, now))

    def _say(self, news: Callable[[float], Notice | None]) -> None:
        with self._lock:
            notice = news(self._clock())
            if notice is not None:
                self._digest.add([notice])

    def run(self, stop: threading.Event) -> None:
        """Send what is due; the lanes never wait for a channel."""
        while not stop.wait(_LOOK_S):
            self.tell()

    def tell(self) -> None:
        now = self._clock()
        with self._lock:
            due = self._digest.due(now)
        for message in due:
            told = False
            for channel in self._channels:
                try:
                    channel.tell(message)
                    told = True
                except NotTold as error:
                    self.not_told.labels(channel.name).inc()
                    log.warning("not_told", channel=channel.name, org=message.org, kind=message.kind, error=str(error))
            with self._lock:
                (self._digest.sent if told else self._digest.failed)(message, now)
