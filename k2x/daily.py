"""Daily summaries by the ledger's own word: which there are, what each holds, and whether that adds up. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from k2x.audit.daily_case import DailyCase, is_summary
from k2x.audit.facts import EntryGone, EntrySeen
from k2x.audit.log import read_to_end
from k2x.audit.records import FactReader
from k2x.audit.scratch import Dossier
from k2x.audit.shares import Sums
from schemas.codec import Codec
from schemas.topics import ledger

_ZERO = Decimal(0)
_MEMBER = b"|member|"


@dataclass(frozen=True)
class Member:
    """An order, or a refund, in a summary. `own`: what its own entry in the ledger says; None: nothing."""

    order: str
    refund: str
    state: str
    total: Decimal
    tax: Decimal
    own: EntrySeen | None = None

    @property
    def named(self) -> str:
        return f"{self.order} refund {self.refund}" if self.refund else self.order


@dataclass
class Daily:
    """One summary. `members`: by their ledger keys; without those that were taken out."""

    org: str
    key: str
    entry: EntrySeen | None = None
    paid: dict[str, EntrySeen] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)

    @property
    def _case(self) -> DailyCase:
        return DailyCase(self.org, Dossier(self.key), Sums())

    @property
    def store(self) -> str:
        return self._case.store

    @property
    def day(self) -> date | None:
        return self._case.day

    @property
    def refunds(self) -> bool:
        return self._case.refunds

    @property
    def number(self) -> str:
        return self.entry.number if self.entry is not None else ""

    @property
    def state(self) -> str:
        """open, closed, posted, empty; refused or held while a person is to decide."""
        entry = self.entry
        if entry is None:
            return "unknown"
        return entry.state.lower() if entry.state in ("REFUSED", "HELD") else entry.phase or entry.state.lower()

    @property
    def closes_at(self) -> datetime | None:
        return self.entry.closes_at if self.entry is not None else None

    @property
    def currency(self) -> str:
        return self.entry.currency if self.entry is not None else ""

    @property
    def total(self) -> Decimal:
        """Of its members."""
        return sum((member.total for member in self.members.values()), _ZERO)

    @property
    def tax(self) -> Decimal:
        return sum((member.tax for member in self.members.values()), _ZERO)

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number or None,
            "key": self.key,
            "org": self.org,
            "store": self.store,
            "day": self.day.isoformat() if self.day else None,
            "of": "refunds" if self.refunds else "orders",
            "state": self.state,
            "closes_at": self.closes_at.isoformat() if self.closes_at else None,
            "count": len(self.members),
            "currency": self.currency,
            "total": f"{self.total:.2f}",
            "tax": f"{self.tax:.2f}",
            "xero_id": (self.entry.xero_id if self.entry is not None else "") or None,
            "reason": (self.entry.reason if self.entry is not None else "") or None,
        }


def dailies(
    kafka: Mapping[str, Any], codec: Codec, orgs: Iterable[str], wanted: Callable[[Daily], bool] = lambda _: True
) -> list[Daily]:
    """Those that are wanted (by store and day: no more is known when it is asked), by organisation, store and day."""
    names = list(orgs)
    reader, found = FactReader(codec, names), dict[tuple[str, str], Daily | None]()
    for message in read_to_end(kafka, [ledger(org) for org in names]):
        key = message.key() or b""
        if b"/" not in key or not is_summary("|".join(key.decode().split("|")[:2])):
            continue
        fact = reader.fact(message)
        if isinstance(fact, EntrySeen | EntryGone):
            own = "|".join(fact.ledger_key.split("|")[:2])
            if (fact.org, own) not in found:
                made = Daily(fact.org, own)
                found[fact.org, own] = made if wanted(made) else None
            daily = found[fact.org, own]
            if daily is not None:
                _put(daily, fact)
    left = [one for one in found.values() if one is not None and (one.entry is not None or one.members)]
    return sorted(left, key=lambda one: (one.org, one.store, one.day or date.max, one.key))


def _put(daily: Daily, fact: EntrySeen | EntryGone) -> None:
    key = fact.ledger_key
    if isinstance(fact, EntryGone) or fact.state == "VOIDED":
        daily.members.pop(key, None)
        daily.paid.pop(key, None)
        if key == f"{daily.key}|invoice|0":
            daily.entry = fact if isinstance(fact, EntrySeen) else None
    elif fact.kind == "member":
        daily.members[key] = Member(fact.key, fact.refund, fact.state, fact.total or _ZERO, fact.total_tax or _ZERO)
    elif fact.kind in ("payment", "refund"):
        daily.paid[key] = fact
    elif key == f"{daily.key}|invoice|0":
        daily.entry = fact


def numbered(kafka: Mapping[str, Any], codec: Codec, orgs: Iterable[str], number: str) -> Daily | None:
    """The summary of this number, each of its members with the order's own entry. None: there is none."""
    names = list(orgs)
    reader, keys = FactReader(codec, names), dict[tuple[str, str], None]()
    for message in read_to_end(kafka, [ledger(org) for org in names]):
        key = message.key() or b""
        if b"/" in key and _MEMBER not in key and number.encode().lower() in (message.value() or b"").lower():
            fact = reader.fact(message)
            if isinstance(fact, EntrySeen) and is_summary(fact.key) and fact.number.casefold() == number.casefold():
                keys[fact.org, fact.key] = None
    if not keys:
        return None
    org, key = list(keys)[-1]
    (daily,) = dailies(kafka, codec, [org], lambda one: one.key == key)
    return _with_own(kafka, codec, daily)


def _with_own(kafka: Mapping[str, Any], codec: Codec, daily: Daily) -> Daily:
    wanted = {_own_key(member): key for key, member in daily.members.items()}
    reader = FactReader(codec, [daily.org])
    own: dict[str, EntrySeen | None] = {}
    for message in read_to_end(kafka, [ledger(daily.org)]):
        name = (message.key() or b"").decode("utf-8", "replace")
        if name in wanted:
            fact = reader.fact(message)
            own[name] = fact if isinstance(fact, EntrySeen) else None
    members = {key: replace(member, own=own.get(_own_key(member))) for key, member in daily.members.items()}
    return replace(daily, members=members)


def _own_key(member: Member) -> str:
    return f"{member.order}|credit_note|{member.refund}" if member.refund else f"{member.order}|invoice|0"


def faults(daily: Daily) -> Iterator[str]:
    """What does not add up, in sentences: each member's own word, the count, the sums, the payments."""
    for member in daily.members.values():
        own = member.own
        if own is None:
            yield f"{member.named}: the ledger has no entry of its own"
        elif own.summary != daily.key:
            yield f"{member.named}: its own entry says {own.number or 'no summary'}, state {own.state}"
        elif (own.total, own.total_tax) != (member.total, member.tax):
            yield (
                f"{member.named}: {member.total:.2f} and {member.tax:.2f} tax here, {own.total or _ZERO:.2f} and "
                f"{own.total_tax or _ZERO:.2f} by its own entry"
            )
    entry = daily.entry
    if entry is None:
        yield "the ledger has no entry of the summary itself"
        return
    if entry.phase in ("closed", "posted") and entry.members != len(daily.members):
        yield f"it was closed with {entry.members} and has {len(daily.members)}"
    if entry.total is not None and (entry.total, entry.total_tax) != (daily.total, daily.tax):
        yield (
            f"it was closed with {entry.total:.2f}, tax {entry.total_tax or _ZERO:.2f}; its orders come to "
            f"{daily.total:.2f}, tax {daily.tax:.2f}"
        )
    if entry.phase == "posted" and entry.xero_id:
        paid = sum((one.total or _ZERO for one in daily.paid.values() if one.state == "POSTED"), _ZERO)
        if paid != daily.total:
            yield f"its payments come to {paid:.2f}, its orders to {daily.total:.2f}"
