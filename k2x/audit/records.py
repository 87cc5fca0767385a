"""Records of the topics → facts. A record that cannot be read is a fact too, where its key says whose it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from confluent_kafka import Message

from k2x.audit import settlements
from k2x.audit.facts import (
    CommandSeen,
    EntryGone,
    EntrySeen,
    Fact,
    HintSeen,
    LetterSeen,
    OrderSeen,
    PartSeen,
    RefundSeen,
    ResultSeen,
    TenderSeen,
    account_sums,
)
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.topics import CHANGES, ORDERS, RESULTS, commands, dead_letter, ledger, org_of

_CENT = Decimal("0.01")
_ORDER_OBJECT = "ecommerce.order"
_WRITTEN_BACK = "order.written_back"  # our own write-back's mark, which asks for nothing
_WHOLE = frozenset({"order", "order_refund", "summary"})
_OF_THE_WHOLE = tuple(bytes([2 * len(kind)]) + kind.encode() for kind in _WHOLE)  # Avro's text: its length, its bytes
_MEMBER = "member"  # <summary's key>|member|<instance>|<OrderID>[|<refund id>]: the order's, not the summary's
_OF_ORDERS = 4  # parts of a ledger key that belongs to an order: instance|OrderID|kind|ordinal


def topics_of(orgs: Iterable[str]) -> list[str]:
    """Every topic that holds facts."""
    names = list(orgs)
    letters = [dead_letter(ORDERS), dead_letter(CHANGES), *(dead_letter(commands(org)) for org in names)]
    return [
        ORDERS,
        CHANGES,
        RESULTS,
        *settlements.TOPICS,
        *letters,
        *(commands(org) for org in names),
        *(ledger(org) for org in names),
    ]


class FactReader:
    """Makes facts of records. When each organisation's sink, the workers and the reader last wrote, so far as read."""

    def __init__(self, codec: Codec, orgs: Iterable[str]) -> None:
        self._codec = codec
        self.lanes: dict[str, datetime] = {}
        self.workers_at: datetime | None = None
        self.reader_at: datetime | None = None
        self.settlements = settlements.Settlements(codec)
        self._makers = {ORDERS: self._order, CHANGES: self._hint, RESULTS: self._result}
        self._makers |= {dead_letter(topic): self._letter for topic in (ORDERS, CHANGES)}
        for org in orgs:
            self._makers[commands(org)] = self._command
            self._makers[dead_letter(commands(org))] = self._letter
            self._makers[ledger(org)] = self._entry

    def fact(self, message: Message, *, late: bool = False) -> Fact | None:
        """None for what is not about an order. `late`: it came while Xero was being read."""
        if settlements.about(message.key()):
            self.settlements.take(message, late=late)
            return None
        maker = self._makers.get(message.topic())
        return maker(message) if maker is not None else None  # a settlements' topic with another's key

    def _decoded(self, message: Message) -> dict[str, Any] | None:
        try:
            return self._codec.decode(message.value() or b"")
        except SchemaError:
            return None

    def _order(self, message: Message) -> Fact:
        value, at = self._decoded(message), _written_at(message)
        self.reader_at = max(at, self.reader_at or at)
        partition, offset = message.partition() or 0, message.offset() or 0
        if value is None:  # it must be among the letters; the judge calls it lost otherwise
            own, zero = _key(message), Decimal(0)
            return OrderSeen(
                own, "", "", at, at, at, None, zero, zero, zero, readable=False, partition=partition, offset=offset
            )
        row, currency = value["order"], value["currency"]
        return OrderSeen(
            key=_key(message),
            store=f"{value['instance']}/{value['site_name']}",
            order_id=str(row["OrderID"]),
            version=value["version"],
            observed_at=value["observed_at"],
            received_at=value["received_at"],
            currency=currency["CurrencyCode"] if currency else None,
            total=row["OrderTotalPrice"],
            tax=row["OrderTotalTax"],
            gift_cards=sum((other["value"] for other in row["OrderOtherPayments"]), Decimal(0)),
            ordered_at=row["OrderDate"],
            deleted=value["deleted"],
            partition=partition,
            offset=offset,
            refund=_refund(value.get("refund")),
        )

    def _hint(self, message: Message) -> Fact | None:
        value = self._decoded(message)
        if value is None or value["object_type"] != _ORDER_OBJECT or value["event_type"] == _WRITTEN_BACK:
            return None
        return HintSeen(
            key=f"{value['instance']}|{value['object_id']}",
            store=f"{value['instance']}/{value['site_name'] or ''}",
            received_at=value["received_at"],
            partition=message.partition() or 0,
            offset=message.offset() or 0,
        )

    def _command(self, message: Message) -> Fact | None:
        value = self._decoded(message)
        if value is None or not value["order_id"]:
            return None
        at, body = _written_at(message), value["body"] or {}
        self.workers_at = max(at, self.workers_at or at)
        document = {"SALE": "invoice", "REFUND": "credit_note"}.get(value["kind"], "")
        return CommandSeen(
            key=value["key"],
            org=value["org"],
            kind=value["kind"],
            version=value["version"],
            observed_at=value["observed_at"],
            offset=message.offset() or 0,
            at=at,
            store=value["store"] or "",
            id=value["command_id"],
            **(_of_document(body, document) if document in body else {}),
        )

    def _result(self, message: Message) -> Fact | None:
        if not any(kind in (message.value() or b"") for kind in _OF_THE_WHOLE):
            return None  # of one of its documents: three of four results, and not worth decoding
        value = self._decoded(message)
        if value is None or not value["order_id"] or value["kind"] not in _WHOLE:
            return None
        return ResultSeen(
            key=f"{value['instance']}|{value['order_id']}",
            kind=value["kind"],
            outcome=value["outcome"],
            org=value["org"] or "",
            version=value["version"],
            at=value["at"],
            received_at=value["received_at"],
            message=value["message"] or "",
            command_id=value["command_id"] or "",
            number=value["number"] or "",
        )

    def _letter(self, message: Message) -> Fact | None:
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or []}
        value = self._decoded(message) or {}
        key = _key(message)
        if message.topic() == dead_letter(CHANGES):
            if value and value["object_type"] != _ORDER_OBJECT:
                return None
            key = f"{value['instance']}|{value['object_id']}" if value else key
        elif value and "command_id" in value and not value["order_id"]:
            return None  # a contact's or an item's own
        return LetterSeen(
            key=key,
            version=value.get("version"),
            org=headers.get("x-org", ""),
            store=headers.get("x-store", ""),
            error_class=headers.get("x-error-class", ""),
            code=headers.get("x-error-code", ""),
            message=headers.get("__connect.errors.exception.message", ""),
            hint=headers.get("x-error-hint", ""),
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            at=_written_at(message),
            refund=str(((value.get("body") if "body" in value else value.get("refund")) or {}).get("refund_id", "")),
        )

    def _entry(self, message: Message) -> Fact | None:
        org, own = org_of(message.topic() or ""), _key(message)
        at = _written_at(message)
        self.lanes[org] = max(at, self.lanes.get(org, at))
        parts = own.split("|")
        if len(parts) < _OF_ORDERS:
            return None  # a contact's or an item's
        key = "|".join(parts[3:5] if parts[2] == _MEMBER else parts[:2])
        if message.value() is None:
            return EntryGone(key, own, org)
        value = self._decoded(message)
        if value is None or value["kind"] in ("contact", "item"):
            return None
        return _entry(value, key, own, org)


def _entry(value: Mapping[str, Any], key: str, own: str, org: str) -> EntrySeen:
    intention = value["intention"] or {}
    return EntrySeen(
        key=key,
        ledger_key=own,
        org=org,
        kind=value["kind"],
        ordinal=value["ordinal"],
        state=value["state"],
        xero_id=value["xero_id"] or "",
        number=value["number"] or "",
        status=value["status"] or "",
        hash=value["hash"] or "",
        version=value["version"],
        total=_amount(value["total"]),
        total_tax=_amount(value["total_tax"]),
        currency=value["currency"] or "",
        contact_id=value["contact_id"] or "",
        step=intention.get("step", ""),
        intended_at=intention.get("intended_at"),
        attempt=max(value["attempt"], intention.get("attempt", 0)),
        retry_at=value["retry_at"],
        reason=value["reason"] or "",
        updated_at=value["updated_at"],
        was=value["extra"].get("was", ""),
        holds=(value["command_offset"] or 0) if value["command"] is not None else None,
        **_of_summary(value["kind"], value["extra"], own),
        **_of_unpaid(value),
    )


def _of_unpaid(value: Mapping[str, Any]) -> dict[str, Any]:
    """What refunds did to an invoice that was unpaid."""
    extra = value["extra"]
    gone = "VOIDED" in (value["state"], extra.get("was")) and value["xero_id"]
    ids = [name.partition(":")[2] for name in extra if name.startswith("refund:")] if gone else []
    return {"allocated": _amount(extra.get("allocated")), "voided_for": ids[0] if ids else ""}


def _of_summary(kind: str, extra: Mapping[str, str], own: str) -> dict[str, Any]:
    """Which summary it is in, or what a summary says of itself."""
    if kind == _MEMBER:
        return {"summary": "|".join(own.split("|")[:2])}
    closes = extra.get("closes_at")
    return {
        "summary": extra.get("summary", ""),
        "phase": extra.get("phase", ""),
        "members": int(extra["members"]) if extra.get("members") else None,
        "closes_at": datetime.fromisoformat(closes) if closes else None,
        "dated": date.fromisoformat(extra["dated"]) if extra.get("dated") else None,
    }


def _refund(value: Mapping[str, Any] | None) -> RefundSeen | None:
    if value is None:
        return None
    return RefundSeen(value["refund_id"], value["amount"], value["currency"], value["refunded_at"])


def _of_document(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a sale's invoice or a refund's credit note is to be."""
    document = json.loads(body[name], parse_float=Decimal)
    return {
        "number": body["number"],
        "refund": body.get("refund_id", ""),
        "hash": body.get("money_hash", ""),
        "reference": str(document.get("Reference") or ""),
        "date": date.fromisoformat(body["date"]),
        "currency": body["currency"],
        "total": Decimal(body["total"]),
        "tax": Decimal(body["total_tax"]),
        "sums": account_sums(_line(line) for line in document.get("LineItems") or ()),
        "tenders": tuple(
            TenderSeen(
                t["ordinal"], t["account_code"], t["account_id"], Decimal(t["amount"]), _amount(t["bank_amount"])
            )
            for t in body["payments"]
        ),
        "part": _part(body.get("summary")),
    }


def _part(value: Mapping[str, Any] | None) -> PartSeen | None:
    """Lines of one account and tax type are one here, whatever their tracking."""
    if value is None:
        return None
    lines = ((x["account"], x["tax_type"], Decimal(x["net"]), Decimal(x["tax"])) for x in value["lines"])
    return PartSeen(value["number"], value["closes_at"], account_sums(lines))


def _line(line: Mapping[str, Any]) -> tuple[str, str, Decimal, Decimal]:
    """Account, tax type, amount (quantity × price less the discount, as Xero rounds it: xero.md §4.3) and, if sent,
    tax."""
    gross = Decimal(str(line.get("Quantity", 1))) * Decimal(str(line.get("UnitAmount", 0)))
    net = gross.quantize(_CENT, ROUND_HALF_UP) - Decimal(str(line.get("DiscountAmount", 0)))
    tax = Decimal(str(line.get("TaxAmount") or 0))
    return str(line.get("AccountCode") or ""), str(line.get("TaxType") or ""), net, tax


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _key(message: Message) -> str:
    return (message.key() or b"").decode("utf-8", "replace")


def _written_at(message: Message) -> datetime:
    return datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
