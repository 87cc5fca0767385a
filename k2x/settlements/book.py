"""Settlements on their topic, and what became of each: for `k2x settlements import|ls|show`. It moves no offset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from connectors.kentico.errors import FieldError
from connectors.kentico.receiver import record_key
from connectors.kentico.settings import InstanceSettings
from connectors.kentico.settlements import OBJECT, build, key_part
from k2x.audit.log import read_to_end
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import SchemaError
from schemas.types import Settlement
from streams.transform.texts import identifier

# What two records of one settlement must agree in to be the same one: not how, nor when, it came.
_SAME = ("gateway", "settlement_id", "currency", "paid_at", "payout", "lines", "site_name")


@dataclass
class Known:
    """One settlement: its newest record, and its newest word about the whole of it."""

    value: Settlement
    outcome: str = "on its way"
    message: str = ""
    results: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> str:
        of = self.value
        return topics.settlement_key(of["instance"], of["gateway"], of["settlement_id"]).decode()

    @property
    def fees(self) -> str:
        gross = sum(line["amount"] for line in self.value["lines"] if line["type"] in ("CHARGE", "REFUND"))
        return f"{gross - self.value['payout']:.2f}"


def known(kafka: Mapping[str, Any], codec: Codec) -> dict[str, Known]:
    """Every settlement that came in, by its key, in the order of their payouts."""
    found: dict[str, Known] = {}
    words: list[Mapping[str, Any]] = []
    for message in read_to_end(kafka, [topics.SETTLEMENTS, topics.RESULTS]):
        if b"|settlement/" not in (message.key() or b""):
            continue
        try:
            value = codec.decode(message.value() or b"")
        except SchemaError:
            continue
        if message.topic() == topics.RESULTS:
            words.append(value)
        else:
            one = Known(cast(Settlement, value))
            found[one.key] = one
    fitted = {_fitting(key): one for key, one in found.items()}
    for word in sorted(words, key=lambda value: value["at"]):
        of = fitted.get(word["key"]) or found.get(word["key"])
        if of is not None:
            of.results.append(word)
            if word["kind"] == "settlement" and (word["outcome"] != "UNCHANGED" or of.outcome == "on its way"):
                of.outcome, of.message = word["outcome"].lower(), word["message"] or ""
    return dict(sorted(found.items(), key=lambda item: item[1].value["paid_at"]))


def _fitting(key: str) -> str:
    """As the command's key has a foreign id, which is shortened there."""
    stem, _, id_ = key.partition("|settlement/")[2].partition("/")
    return topics.settlement_key(key.partition("|")[0], stem, identifier(id_)).decode()


@dataclass
class Offered:
    """What a file comes to: `records` are new, `same` are known as they are, `bad`: (line, what)."""

    records: list[Record] = field(default_factory=list)
    values: list[Settlement] = field(default_factory=list)
    same: list[Settlement] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)


def offered(
    settlements: Iterable[tuple[int, dict[str, Any]]],
    instance: InstanceSettings,
    site: str | None,
    there: Mapping[str, Known],
    codec: Codec,
    now: datetime,
) -> Offered:
    """Checked as the receiver checks them; what is on the topic already, as it is, is not sent again."""
    found = Offered()
    for line, data in settlements:
        try:
            value = build(data, instance, "settlement", now, now, site_name=site, source="IMPORT")
        except FieldError as error:
            found.bad.append((line, f"settlement {data['settlementId'] or '?'}: {error.path}: {error.problem}"))
            continue
        key = record_key("settlement", instance.name, OBJECT, key_part(value))
        before = there.get(key.decode())
        mine: Mapping[str, Any] = value
        if before is not None and all(cast(Mapping[str, Any], before.value)[name] == mine[name] for name in _SAME):
            found.same.append(value)
        else:
            found.values.append(value)
            found.records.append(Record(topics.SETTLEMENTS, key, codec.encode("settlement", value)))
    return found
