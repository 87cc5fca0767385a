"""Brings objects of one instance to Kafka, by their ids. Guarantee: `bring` returns when every record, or its dead
letter, is acknowledged; RestError or NotDelivered otherwise, and then nothing of the batch counts.

A dead letter of polling is the hint that would have asked for the object, so `k2x dlt redrive` has the reader read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog

from connectors.kentico.aggregate import Facts, deleted_order
from connectors.kentico.batch import Missing, Read, Torn
from connectors.kentico.echo import Recent, digest
from connectors.kentico.errors import FieldError
from connectors.kentico.events import CUSTOMER, ORDER, SKU, build
from connectors.kentico.outbound import Outbound
from connectors.kentico.reading import Reads
from connectors.kentico.receiver import Delivers
from connectors.kentico.settings import InstanceSettings
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotEncodable
from schemas.letters import ErrorClass, Origin, Reason, letter_headers
from schemas.types import Change

log = structlog.get_logger()


class What(StrEnum):
    """What became of an object."""

    DELIVERED = "delivered"
    UNCHANGED = "unchanged"  # the same content was delivered last
    REFUSED = "dead_letter"
    ABSENT = "gone"
    AGAIN = "retried"  # half written, or it spoils every answer: to be looked at again


@dataclass(frozen=True)
class Outcome:
    """One object's. `data`: the joined rows, where they could be read."""

    object_id: int
    what: What
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class _Sent:
    """What was delivered last of an object: its content, its stamp, and the columns that our write-back writes."""

    content: bytes
    stamp: object
    written: tuple[object, ...]

    def repeats(self, last: _Sent | None) -> bool:
        """The same version, or one that differs by our own write-back only."""
        if last is None or last.content != self.content:
            return False
        return last.stamp == self.stamp or last.written != self.written


_EVENT_TYPES = {ORDER: "order.updated", CUSTOMER: "customer.updated", SKU: "product.updated"}
_MEMBERS = {ORDER: "order", CUSTOMER: "customer", SKU: "sku"}
_STAMPS = {ORDER: "OrderLastModified", CUSTOMER: "CustomerLastModified", SKU: "SKULastModified"}


class Bringer:
    """`component` is who gives up in a dead letter. `remembers`: content that was the last delivered is not sent on."""

    def __init__(
        self,
        instance: InstanceSettings,
        codec: Codec,
        deliver: Delivers,
        clock: Callable[[], datetime],
        reading: Reads,
        max_record_bytes: int,
        *,
        component: str,
        remembers: bool,
    ) -> None:
        self._instance = instance
        self._codec = codec
        self._deliver = deliver
        self._clock = clock
        self._reading = reading
        self._outbound = Outbound(instance.name, codec, max_record_bytes)
        self._component = component
        self._sent: dict[str, Recent[_Sent]] | None = {kind: Recent() for kind in _MEMBERS} if remembers else None

    async def bring(
        self, object_type: str, ids: Sequence[int], patient: Callable[[int], bool] = lambda _: False
    ) -> list[Outcome]:
        """Read, deliver, and say what became of each. `patient`: whether to wait for an order that is half written."""
        observed_at = self._clock()
        reads = await self._reading.read(object_type, ids)
        records: list[Record] = []
        outcomes = [
            self._decide(object_type, i, reads[i], observed_at, records, patient=object_type == ORDER and patient(i))
            for i in ids
        ]
        await self._deliver.deliver(records)
        for outcome in outcomes:
            if self._sent is not None and outcome.what is What.DELIVERED and outcome.data is not None:
                self._sent[object_type].put(outcome.object_id, self._content(object_type, outcome.data))
        return outcomes

    async def deleted(self, order_id: int, site: str | None) -> None:
        """Deliver that an order is no longer there."""
        now = self._clock()
        change = self._change(ORDER, order_id, now)
        change |= {"event_type": "order.deleted", "occurred_at": now, "site_name": site or None}
        order = deleted_order(change, self._instance, now)
        await self._deliver.deliver([self._outbound.record(ORDER, order_id, order)])

    async def refuse_row(self, object_type: str, problem: str) -> None:
        """A row of which not even the object is known goes to the dead letters, as object 0."""
        hint = "look at the table in Kentico's database; the row is passed over until it changes"
        reason = self._outbound.reason(0, ErrorClass.VALIDATION, "unreadable_row", problem, hint, None, None)
        await self._deliver.deliver([self._letter(object_type, 0, reason, self._clock())])

    def _decide(
        self,
        object_type: str,
        object_id: int,
        read: Read | Exception,
        observed_at: datetime,
        records: list[Record],
        *,
        patient: bool,
    ) -> Outcome:
        if isinstance(read, Missing):
            return Outcome(object_id, What.ABSENT)
        if patient and isinstance(read, Torn | Exception):
            return Outcome(object_id, What.AGAIN)
        if isinstance(read, Exception):
            return self._give_up(object_type, object_id, self._outbound.spoiled(object_type, object_id, read), records)
        data = read.data
        if self._sent is not None and self._content(object_type, data).repeats(self._sent[object_type].get(object_id)):
            return Outcome(object_id, What.UNCHANGED, data)
        facts = Facts(self._instance, _EVENT_TYPES[object_type], "REST", observed_at, observed_at)
        try:
            records.append(self._outbound.record(object_type, object_id, build(object_type, data, facts)))
        except (FieldError, NotEncodable) as error:
            return self._give_up(object_type, object_id, self._outbound.refused(object_id, error), records, data)
        except Exception as error:
            log.exception("bringing.bug", instance=self._instance.name, object_type=object_type, object_id=object_id)
            return self._give_up(object_type, object_id, self._outbound.bug(object_id, error), records, data)
        return Outcome(object_id, What.DELIVERED, data)

    def _give_up(
        self,
        object_type: str,
        object_id: int,
        reason: Reason,
        records: list[Record],
        data: Mapping[str, Any] | None = None,
    ) -> Outcome:
        records.append(self._letter(object_type, object_id, reason, self._clock()))
        return Outcome(object_id, What.REFUSED, data)

    def _letter(self, object_type: str, object_id: int, reason: Reason, now: datetime) -> Record:
        log.warning(f"{self._component}.dead_letter", code=reason.code, key=reason.natural_key, problem=reason.message)
        key = f"{self._instance.name}|{object_type}|{object_id}".encode()
        # No record stands behind it: -1 is where Kafka itself says "none".
        origin = Origin(topics.CHANGES, -1, -1, self._component, "read")
        value = self._codec.encode("change", self._change(object_type, object_id, now))
        return Record(topics.dead_letter(topics.CHANGES), key, value, letter_headers(origin, reason, now))

    def _change(self, object_type: str, object_id: int, now: datetime) -> Change:
        return {
            "instance": self._instance.name,
            "site_name": None,
            "object_type": object_type,
            "object_id": object_id,
            "object_guid": None,
            "event_type": _EVENT_TYPES[object_type],
            "source": "REST",
            "event_id": None,
            "sequence": None,
            "occurred_at": None,
            "received_at": now,
            "traceparent": None,
            "site_id": None,
        }

    def _content(self, object_type: str, data: Mapping[str, Any]) -> _Sent:
        row, stamp = data[_MEMBERS[object_type]], _STAMPS[object_type]
        ours = self._instance.writeback_columns if object_type == ORDER else frozenset()
        written = tuple(row.get(column) for column in sorted(ours))
        return _Sent(digest(data, _MEMBERS[object_type], ours | {stamp}), row.get(stamp), written)
