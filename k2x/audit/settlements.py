"""Gateways' settlements: what the topics say of each, what Xero has of it, and what is not paid out yet.

Settlements are some a day where orders are thousands, so they are kept in memory. Decided apart from the sink: Xero's
documents are found by the marker that begins their Reference, or by the ledger's id.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from confluent_kafka import Message

from k2x.audit.documents import BankDocument, Payment
from k2x.audit.finding import Finding
from k2x.audit.scratch import Dossier
from k2x.audit.standpoint import Standpoint
from k2x.in_words import plain
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.topics import DEAD_LETTER_SUFFIX, SETTLEMENTS, SETTLEMENTS_PARKED, dead_letter

TOPICS = (SETTLEMENTS, dead_letter(SETTLEMENTS), SETTLEMENTS_PARKED)
STATES = ("posted", "waiting", "held", "refused", "parked", "suppressed", "in_flight", "lost")
_MARK = b"|settlement/"
_PARTS = {"bank_transaction": "fees", "bank_transfer": "payout"}
_ENDS = {"POSTED": "posted", "UNCHANGED": "posted", "WAITING": "waiting", "HELD": "held", "REFUSED": "refused"}
_ENDS |= {"PARKED": "parked", "SUPPRESSED": "suppressed"}


def about(key: bytes | None) -> bool:
    """Whether a record is about a settlement: every one's key says so."""
    return _MARK in (key or b"")


@dataclass
class File:
    """Everything about one settlement, by its key."""

    key: str
    org: str = ""
    store: str = ""
    came: datetime | None = None
    commands: list[Mapping[str, Any]] = field(default_factory=list)
    word: Mapping[str, Any] | None = None  # the newest result about the whole of it
    letter: Mapping[str, str] | None = None
    letter_at: datetime | None = None
    entries: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by kind
    late: bool = False

    @property
    def whole(self) -> Mapping[str, Any] | None:
        return self.entries.get("settlement")

    @property
    def posted(self) -> bool:
        """By the ledger; where that knows nothing, by a result."""
        if self.whole is not None:
            return bool(self.whole["status"] == "PAID")
        return self.word is not None and self.word["outcome"] in ("POSTED", "UNCHANGED")

    @property
    def body(self) -> Mapping[str, Any]:
        """Of several settlements under one id, the one that the ledger knows; else the newest."""
        known = self.whole["hash"] if self.whole is not None else None
        bodies: list[Mapping[str, Any]] = [command["body"] or {} for command in self.commands]
        return next((body for body in bodies if body.get("money_hash") == known), bodies[-1] if bodies else {})

    @property
    def day(self) -> date | None:
        return date.fromisoformat(self.body["date"]) if self.body else self.came.date() if self.came else None


class Settlements:
    """Takes records, then judges."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.files: dict[str, File] = {}

    def take(self, message: Message, *, late: bool) -> None:
        """A record that `about` says is ours."""
        own, topic = (message.key() or b"").decode("utf-8", "replace"), message.topic() or ""
        file = self.files.setdefault("|".join(own.split("|")[:2]), File("|".join(own.split("|")[:2])))
        file.late = file.late or late
        try:
            value = self._codec.decode(message.value() or b"")
        except SchemaError:
            value = {}
        if topic.endswith(DEAD_LETTER_SUFFIX):
            self._letter(file, message)
        elif topic in (SETTLEMENTS, SETTLEMENTS_PARKED):
            if value and topic == SETTLEMENTS:
                file.came = max(value["received_at"], file.came or value["received_at"])
        elif "intention" in value:
            file.org = value["org"]
            file.entries[value["kind"]] = value
        elif "command_id" in value and "body" in value:
            file.org, file.store = value["org"], value["store"] or file.store
            file.commands.append(value)
        elif value.get("kind") == "settlement":
            file.org, file.store = value["org"] or file.org, value["store"] or file.store
            if value["outcome"] != "UNCHANGED" or file.word is None:
                file.word = value

    @staticmethod
    def _letter(file: File, message: Message) -> None:
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or []}
        file.letter, file.org = headers, file.org or headers.get("x-org", "")
        file.letter_at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)

    # -- judgement ----------------------------------------------------------------------------------------------

    def judge(self, org: str, books: Iterable[BankDocument], at: Standpoint | None) -> Iterator[Verdict]:
        """Each settlement of an organisation, and what only Xero knows of."""
        by_marker: dict[str, list[BankDocument]] = {}
        by_id = {}
        for document in books:
            by_id[document.id.casefold()] = document
            by_marker.setdefault(document.marker, []).append(document)
        claimed: set[str] = set()
        for file in sorted(self.files.values(), key=lambda one: one.key):
            if file.org == org:
                marker = self._marker(file)
                claimed.add(marker)
                yield self._one(file, by_marker.get(marker, []), by_id, at)
        for marker, documents in sorted(by_marker.items()):
            if marker not in claimed and self._like_ours(marker) and (living := [d for d in documents if d.living]):
                text, day = (
                    f"{marker}: Xero has {_shown(living)} of a settlement that k2x does not know",
                    living[0].date,
                )
                yield Verdict(org, "", "", day, [Finding("settlement_foreign", org, "", "", marker, text, day)])

    def _marker(self, file: File) -> str:
        return str((file.whole or {}).get("number") or file.body.get("marker") or "")

    def _like_ours(self, marker: str) -> bool:
        instances = {key.partition("|")[0] for key in self.files}
        return marker.count("/") == 2 and marker.partition("/")[0] in instances

    def _one(
        self, file: File, under: list[BankDocument], by_id: Mapping[str, BankDocument], at: Standpoint | None
    ) -> Verdict:
        state, found = _state(file, at), list[tuple[str, str]]()
        if state == "lost":
            found.append(("settlement_lost", "it came in, and neither a command, a letter nor a reason came of it"))
        if file.posted and not file.late:
            for kind in _PARTS:
                found += _part(file, kind, [one for one in under if one.kind == kind], by_id)
        elif at is not None and not file.late and (open_ := _open(file, at)):
            found.append(("settlement_open", open_))
        findings = [
            Finding(code, file.org, file.store, file.key, self._marker(file), f"{_name(file)}: {text}", file.day)
            for code, text in found
        ]
        return Verdict(file.org, file.store, state, file.day, findings)


@dataclass(frozen=True)
class Verdict:
    """`state` is one of STATES; empty for what only Xero knows of."""

    org: str
    store: str
    state: str
    day: date | None
    findings: list[Finding]


def _name(file: File) -> str:
    return file.key.partition("|")[2].replace("settlement/", "settlement ", 1)


def _state(file: File, at: Standpoint | None) -> str:
    whole = file.whole
    if file.posted:
        return "posted"
    if whole is not None and whole["state"] == "WAITING":
        return "waiting"
    if file.letter is not None and (file.word is None or file.word["outcome"] in ("REFUSED", "HELD")):
        return "held" if file.letter.get("x-error-class") == "held" else "refused"
    if file.word is not None:
        return _ENDS.get(file.word["outcome"], "refused")
    if file.late or file.came is None or (at is not None and at.recent(file.came)):
        return "in_flight"
    return "in_flight" if file.commands and at is not None else "lost"


def _open(file: File, at: Standpoint) -> str:
    """An intention that nobody has gone on with."""
    for kind, entry in file.entries.items():
        intention = entry["intention"]
        if intention is not None and at.now - intention["intended_at"] > at.lapse + at.grace:
            return f"{_PARTS.get(kind, kind)}: intended at {intention['intended_at']:%Y-%m-%d %H:%M}, and nothing since"
    return ""


def _part(
    file: File, kind: str, under: list[BankDocument], by_id: Mapping[str, BankDocument]
) -> Iterator[tuple[str, str]]:
    """(code, text) of what is off with the fees, or with the payout."""
    body = file.body
    wanted = body.get("bank_transaction" if kind == "bank_transaction" else "transfer")
    if not body or not wanted:
        return
    what, living = f"the {_PARTS[kind]}", [one for one in under if one.living]
    own = by_id.get(str((file.entries.get(kind) or {}).get("xero_id") or "").casefold())
    if own is not None and own.living and own not in living:
        living.append(own)  # its Reference was changed by hand
    if not living:
        gone = own or next(iter(under), None)
        text = f"{what} were posted and are {gone.status if gone else 'not'} in Xero"
        yield "settlement_deleted", text
        return
    if len(living) > 1:
        yield "settlement_doubled", f"{what} are there {len(living)} times: {_shown(living)}"
    differences = [_differences(body, kind, json.loads(wanted, parse_float=Decimal), one) for one in living]
    if all(differences):
        yield "settlement_amount", f"{what}: {'; '.join(differences[0])}"


def _differences(body: Mapping[str, Any], kind: str, ours: Mapping[str, Any], theirs: BankDocument) -> list[str]:
    if kind == "bank_transaction":
        pairs = [
            ("type", ours["Type"], theirs.type),
            ("total", Decimal(body["transaction_total"]), theirs.total),
            ("tax", Decimal(body["transaction_tax"]), theirs.tax),
            ("account", body["clearing_account"].casefold(), theirs.account_id.casefold()),
        ]
    else:
        ends = [ours[name]["AccountID"].casefold() for name in ("FromBankAccount", "ToBankAccount")]
        pairs = [
            ("amount", abs(Decimal(body["payout"])), theirs.total),
            ("accounts", ends, [theirs.account_id.casefold(), theirs.to_id.casefold()]),
        ]
    pairs.append(("date", date.fromisoformat(body["date"]), theirs.date))
    return [
        f"{name} is {theirs_} in Xero, and was posted as {ours_}" for name, ours_, theirs_ in pairs if ours_ != theirs_
    ]


def _shown(documents: Iterable[BankDocument]) -> str:
    return ", ".join(f"{one.type} {plain(one.total)} of {one.date} ({one.id})" for one in documents)


# -- what is not paid out yet -----------------------------------------------------------------------------------------


@dataclass
class Clearing:
    """What each clearing account holds, by AccountID: by our own records, and by Xero's documents. In the account's own
    currency. Only of whole books: with a range of days the beginning is missing."""

    names: dict[tuple[str, str], str] = field(default_factory=dict)
    ours: Counter[tuple[str, str]] = field(default_factory=Counter)
    xero: Counter[tuple[str, str]] = field(default_factory=Counter)
    known: set[tuple[str, str]] = field(default_factory=set)

    def order(self, dossier: Dossier) -> None:
        """The payments and refunds of an order that the ledger calls posted."""
        for entry in dossier.entries:
            if entry.state != "POSTED" or entry.kind not in ("payment", "refund"):
                continue
            kind, sign = ("SALE", 1) if entry.kind == "payment" else ("REFUND", -1)
            made = (c for c in dossier.commands if c.kind == kind and c.org == entry.org and c.refund == entry.refund)
            tenders = (t for c in made for t in c.tenders if (t.ordinal, t.amount) == (entry.ordinal, entry.total))
            for tender in tenders:
                moved = tender.amount if tender.bank is None else tender.bank
                self._add(self.ours, entry.org, tender.account_id, sign * moved)
                break

    def payments(self, payments: Iterable[Payment], sign: int) -> None:
        for payment in payments:
            if payment.living and payment.account_id:
                self.names[payment.org, payment.account_id.casefold()] = payment.account
                moved = payment.amount if payment.bank_amount is None else payment.bank_amount
                self._add(self.xero, payment.org, payment.account_id, sign * moved)

    def bank(self, documents: Iterable[BankDocument]) -> None:
        for one in documents:
            if not one.living:
                continue
            spends = one.kind == "bank_transfer" or one.type.startswith("SPEND")
            self._add(self.xero, one.org, one.account_id, -one.total if spends else one.total)
            if one.to_id:
                self._add(self.xero, one.org, one.to_id, one.total)

    def settlement(self, file: File) -> None:
        """Its clearing account counts from now on; what was posted of it has left the account."""
        if not file.body:
            return
        account, posted = str(file.body["clearing_account"]), file.entries
        self.known.add((file.org, account.casefold()))
        for kind, amount in (("bank_transaction", file.body["fees"]), ("bank_transfer", file.body["payout"])):
            if (posted.get(kind) or {}).get("state") == "POSTED":
                self._add(self.ours, file.org, account, -Decimal(amount))

    def rows(self) -> list[dict[str, str]]:
        """Of each account that a settlement names: what has not been paid out yet."""
        return [
            {
                "org": org,
                "account": self.names.get((org, id_)) or id_,
                "topics": f"{self.ours[org, id_]:.2f}",
                "xero": f"{self.xero[org, id_]:.2f}",
            }
            for org, id_ in sorted(self.known)
        ]

    @staticmethod
    def _add(side: Counter[tuple[str, str]], org: str, account: str, amount: Decimal) -> None:
        if account:
            side[org, account.casefold()] += amount  # type: ignore[assignment]
