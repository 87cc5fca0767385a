"""What the three source agents share: decode, find the route, park or go on, and turn what was made into records.

Guarantee: each event ends as commands, a SUPPRESSED result, a REFUSED one with its dead letter, or a parked record.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from schemas.codec import Codec
from schemas.delivery import Record
from schemas.letters import Reason
from streams.flow import Made, Refused, Suppressed
from streams.metrics import Metrics
from streams.outputs import Outputs, Source, Subject
from streams.parked import Parking
from streams.settings import StreamsSettings
from streams.stores import Route, Stores


class Aggregates:
    """Base of the agents' handlers. `agent` names it in metrics and letters, `kind` in results."""

    agent: str
    kind: str

    def __init__(
        self,
        settings: StreamsSettings,
        codec: Codec,
        stores: Stores,
        outputs: Outputs,
        parking: Parking,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._stores = stores
        self._outputs = outputs
        self._parking = parking
        self._metrics = metrics

    def handle(self, source: Source, now: datetime) -> list[Record]:
        """A record from a source topic. NotDecodable where it cannot be read."""
        raise NotImplementedError

    def again(self, source: Source, org: str, now: datetime) -> list[Record]:
        """A record that was parked for `org` and can go on."""
        raise NotImplementedError

    def _decode(self, source: Source) -> Any:
        return self._codec.decode(source.value or b"")

    def _waits(self, source: Source, route: Route) -> str:
        """Why the record must be parked; empty if it can go on."""
        if route.flow is None:
            return route.waits_for
        if self._parking.must_park(source.topic, source.partition, route.org):
            return f"{route.org}: older parked records are fed first"
        return ""

    def _park(self, source: Source, subject: Subject, org: str, why: str, now: datetime) -> list[Record]:
        self._metrics.event(self.agent, "parked", org)
        self._parking.expect(source.topic, source.partition, org)
        return self._outputs.parked(source, subject, org, why, self._parking.parked_topic(source.topic), now)

    def _unknown(self, source: Source, subject: Subject, site: str | None, now: datetime) -> list[Record]:
        return self._refuse(source, subject, self._stores.unknown(subject.instance, site, subject.key), "route", now)

    def _refuse(self, source: Source, subject: Subject, reason: Reason, step: str, now: datetime) -> list[Record]:
        self._metrics.event(self.agent, "refused", subject.org)
        self._metrics.letter(self.agent, str(reason.error_class))
        return self._outputs.refusal(source, subject, reason, step, now)

    def _records(self, source: Source, subject: Subject, made: Made, now: datetime) -> list[Record]:
        if isinstance(made, Suppressed):
            self._metrics.event(self.agent, "suppressed", subject.org)
            return [
                self._outputs.result(source, subject, "SUPPRESSED", now, message=made.message, error_code=made.code)
            ]
        if isinstance(made, Refused):
            return self._refuse(source, subject, made.reason, made.step, now)
        self._metrics.event(self.agent, "command", subject.org)
        commands = made if isinstance(made, tuple) else (made,)
        return [self._outputs.command(command, source) for command in commands]


def first_made(made: Iterable[Made]) -> Made:
    """Of what several stores of an organisation make of one customer or product: the first that is not suppressed."""
    suppressed: Suppressed | None = None
    for one in made:
        if not isinstance(one, Suppressed):
            return one
        suppressed = suppressed or one
    if suppressed is None:
        raise RuntimeError("an organisation that is ready has a flow for each of its stores")
    return suppressed
