"""Records about an order → happenings: what each says, in a person's words, and its facts for scripts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from confluent_kafka import Message

from k2x.dead_letters.archive import MARK
from k2x.dead_letters.letter import letter_of, written_at
from k2x.in_words import moment, plain
from k2x.trace.story import Happening
from schemas.codec import Codec
from schemas.topics import (
    CHANGES,
    ORDERS,
    PARKED,
    REPLAY_OF,
    RESULTS,
    SETTLEMENTS,
    SETTLEMENTS_PARKED,
    WRITEBACK,
)

_MARK = "order.written_back"
_ADOPTED = "found in Xero and equal: the answer to an earlier call was lost, or somebody else wrote it"
# A refund is an order's: its documents under the names that a bookkeeper gives them.
_NAMES = {"order_refund": "refund", "credit_note": "credit note", "refund": "money back"}
_NAMES |= {"allocation": "part of a credit note put to its invoice"}
_NAMES |= {"bank_transaction": "fees", "bank_transfer": "payout"}  # of a settlement
Made = tuple[str, str, dict[str, Any]]


def of_record(message: Message, value: Mapping[str, Any] | None) -> Iterator[Happening]:
    """A record of any topic but the ledgers and the dead letters; None: it cannot be read."""
    at, where = written_at(message), place(message)
    if value is None:
        yield Happening(at, "event", where, "a record that cannot be read")
        return
    topic = message.topic() or ""
    what, text, facts = _MAKERS.get(topic, _command)(message, value)
    if topic == RESULTS:
        yield from _answers(value, where)
    yield Happening(at, what, where, text, facts)


def place(message: Message) -> str:
    return f"{message.topic()}:{message.partition()}:{message.offset()}"


def of_letter(message: Message, schema: str, codec: Codec) -> Happening:
    """A dead letter."""
    letter = letter_of(message, schema, codec)
    again = f" (sent again {letter.replays}×)" if letter.replays else ""
    told = letter.schema in ("order", "command")  # the result beside it says the same
    said = "" if told else f"{letter.message} "
    text = f"{letter.error_class}/{letter.code}{again}: {said}Remedy: {letter.hint}"
    facts: dict[str, Any] = {"class": letter.error_class, "code": letter.code, "hint": letter.hint}
    facts |= {"message": letter.message, "version": letter.version}
    return Happening(letter.at, "letter", letter.id, text, facts)


def of_entry(message: Message, value: Mapping[str, Any] | None) -> Happening:
    """A ledger entry; None: taken out."""
    if value is None:
        name = (message.key() or b"").decode("utf-8", "replace").split("|", 2)[-1]
        return Happening(written_at(message), "ledger", place(message), f"{name}: entry taken out")
    return Happening(written_at(message), "ledger", place(message), _entry_text(value), _entry_facts(value))


def of_members(message: Message, values: Sequence[Mapping[str, Any] | None]) -> Happening:
    """All the entries of a summary's orders as one; `message`: the newest."""
    inside = [value for value in values if value is not None and value["state"] != "VOIDED"]
    posted = sum(value["state"] == "POSTED" for value in inside)
    total = sum((Decimal(value["total"] or 0) for value in inside), Decimal(0))
    currency = next((value["currency"] for value in inside if value["currency"]), "")
    out = len(values) - len(inside)
    text = f"{len(inside)} are in it, {plain(total)} {currency}, {posted} of them told that they are posted"
    text += f"; {out} were taken out" if out else ""
    return Happening(written_at(message), "ledger", place(message), text, {"members": len(inside)})


def in_batch(happening: Happening, sizes: Mapping[str, set[bytes]]) -> Happening:
    """With how many documents its call carried."""
    size = len(sizes.get(happening.facts.get("idempotency_key") or "", ()))
    if not size:
        return happening
    others = "alone in its call" if size == 1 else f"one of {size} in its call"
    return replace(happening, text=f"{happening.text}, {others}", facts={**happening.facts, "batch": size})


def _answers(value: Mapping[str, Any], where: str) -> Iterator[Happening]:
    """What calls came to that were not simply answered, each with its time: the sink tells it with the next result."""
    for finding in value["findings"]:
        at, text = _noted(finding)
        if at is not None:
            yield Happening(at, "answer", where, text)


def _noted(finding: str) -> tuple[datetime | None, str]:
    stamp, _, text = finding.partition(" ")
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None, finding
    return (at, text) if at.tzinfo is not None else (None, finding)


def _hint(message: Message, value: Mapping[str, Any]) -> Made:
    if value["event_type"] == _MARK:
        return "hint", "our own write-back has stamped the order: a mark for the reader", {"source": value["source"]}
    name = f", event {value['event_id']}" if value["event_id"] else ""
    return "hint", f"{value['event_type']} by {value['source']}{name}: to be read", {"source": value["source"]}


def _event(message: Message, value: Mapping[str, Any]) -> Made:
    row, status = value["order"], value["status"]
    currency = (value["currency"] or {}).get("CurrencyCode", "")
    again = _again(message)
    text = (
        f"{value['event_type']} by {value['source']}, version {_short(value['version'])}, "
        f"{plain(row['OrderTotalPrice'])} {currency}, tax {plain(row['OrderTotalTax'])}, "
        f"{status['StatusName'] if status else 'no status'}, {'paid' if row['OrderIsPaid'] else 'not marked as paid'}"
        f"{', deleted' if value['deleted'] else ''}{_given_back(value['refund'])}{again}"
    )
    facts = {"version": value["version"], "source": value["source"], "event_type": value["event_type"]}
    return "event", text, {**facts, "observed_at": value["observed_at"], "received_at": value["received_at"]}


def _settlement(message: Message, value: Mapping[str, Any]) -> Made:
    money = f"payout {plain(value['payout'])} {value['currency']}, {len(value['lines'])} lines"
    text = f"settlement by {value['source']}, paid {moment(value['paid_at'])}, {money}{_again(message)}"
    facts = {"version": value["version"], "source": value["source"], "event_type": "settlement.paid"}
    return "event", text, {**facts, "observed_at": value["observed_at"], "received_at": value["received_at"]}


def paid_out(message: Message, value: Mapping[str, Any], order_id: str) -> Happening:
    """For the story of an order: the settlement that paid it out."""
    mine = [line for line in value["lines"] if line["order_id"] == order_id]
    shown = ", ".join(f"{line['type'].lower()} {plain(line['amount'])}, fee {plain(line['fee'])}" for line in mine)
    name = f"{value['gateway']}/{value['settlement_id']}"
    text = f"by settlement {name} of {moment(value['paid_at'])}: {shown}"
    text += f"; see `k2x trace {value['instance']}/settlement/{name}`"
    return Happening(written_at(message), "paid out", place(message), text, {"settlement": name})


def _given_back(refund: Mapping[str, Any] | None) -> str:
    if refund is None:
        return ""
    why = f" ({refund['reason']})" if refund["reason"] else ""
    return f", refund {refund['refund_id']} of {plain(refund['amount'])} {refund['currency'] or ''}".rstrip() + why


def _parked(message: Message, value: Mapping[str, Any]) -> Made:
    reason = _header(message, "x-parked-reason")
    return "parked", f"version {_short(value['version'])}: {reason}", {"version": value["version"], "reason": reason}


def _command(message: Message, value: Mapping[str, Any]) -> Made:
    body = value["body"] or {}
    text = f"{value['kind']} for {value['org']}, version {_short(value['version'])}"
    if value["kind"] == "SALE":
        tenders = ", ".join(f"{plain(t['amount'])} to {t['account_code']}" for t in body["payments"])
        text += f": {body['number']}, {plain(body['total'])} {body['currency']}, tax {plain(body['total_tax'])}"
        text += f", paid {tenders}" if tenders else ""
        text += _for_day(value, body)
    elif value["kind"] == "REFUND" and body:
        tenders = ", ".join(f"{plain(t['amount'])} from {t['account_code']}" for t in body["payments"])
        text += f": refund {body['refund_id']} as {body['number']}, {plain(body['total'])} {body['currency']}, "
        text += f"tax {plain(body['total_tax'])}" + (f", back {tenders}" if tenders else "") + _for_day(value, body)
    elif value["kind"] == "SETTLEMENT" and body:
        text += f": payout {plain(body['payout'])} {body['currency']}, fees and the like {plain(body['fees'])}"
    text += f", by rules version {value['rules_version']}"
    decisions = [dict(one) for one in body.get("decisions", [])]
    text += "".join(f"; {_decided(one)}" for one in decisions)
    text += _again(message) or (f", made by replay {value['replay_id']}" if value["replay_id"] else "")
    facts = {"kind": value["kind"], "version": value["version"], "rules_version": value["rules_version"]}
    facts |= {"decisions": decisions} if decisions else {}
    facts |= {"refund": body["refund_id"], "command_id": value["command_id"]} if "refund_id" in body else {}
    return (
        "command",
        text,
        {**facts, "replay_id": value["replay_id"], "number": body.get("number"), "findings": list(value["findings"])},
    )


def _for_day(value: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    part = body.get("summary")
    if part is None:
        return ""
    if "/" in (value["order_id"] or ""):
        return f", of {part['orders']} of {part['day']}"
    return f", for the summary {part['number']}, which closes {moment(part['closes_at'])}"


def _decided(one: Mapping[str, Any]) -> str:
    lines = "1 line" if one["lines"] == 1 else f"{one['lines']} lines"
    of = f" of {one['tax_class']!r}" if one["tax_class"] else ""
    tax, account = f"{one['tax_type']} by {one['tax_rule']}", f"account {one['account']} by {one['account_rule']}"
    return f"{lines}{of} at {one['rate']} %: {tax}, {account}"


def _result(message: Message, value: Mapping[str, Any]) -> Made:
    names = ("kind", "ordinal", "outcome", "number", "xero_id", "status", "total", "currency", "version")
    facts = {name: value[name] for name in (*names, "error_class", "error_code", "message", "command_id")}
    if value["kind"] == MARK:
        return "operator", f"{', '.join(value['findings'])} {value['message']}", facts
    money = f", {plain(value['total'])} {value['currency'] or ''}".rstrip() if value["total"] else ""
    code = "/".join(part for part in (value["error_class"], value["error_code"]) if part)
    own = [text for at, text in map(_noted, value["findings"]) if at is None]
    adopted = _ADOPTED if value["outcome"] == "ADOPTED" else ""
    said = ": ".join(part for part in (code, value["message"] or adopted, "; ".join(own)) if part)
    ordinal = f" {value['ordinal']}" if value["ordinal"] else ""
    text = f"{_NAMES.get(value['kind'], value['kind'])}{ordinal} {value['outcome']}"
    text += f" as {value['number']}" if value["number"] else ""
    text += f" {value['status']}" if value["status"] else ""
    again = f", by replay {value['replay_id']}" if value["replay_id"] else ""
    return "result", text + money + again + (f": {said}" if said else ""), facts


def _write_back(message: Message, value: Mapping[str, Any]) -> Made:
    fields = ", ".join(f"{column}={text!r}" for column, text in sorted(value["fields"].items()))
    return "write-back", fields, {"fields": dict(value["fields"])}


def _entry_text(value: Mapping[str, Any]) -> str:
    ordinal = f" {value['ordinal']}" if value["ordinal"] else ""
    intention = value["intention"]
    if value["kind"] == "member":
        counts = "no longer counts" if value["state"] == "VOIDED" else "counts"
        text = f"summary {value['number']} {counts} it, {plain(value['total'])}, {value['state']}"
        return text + (f": {value['reason']}" if value["reason"] else "")
    text = f"{_entry_name(value)}{ordinal} {value['state']}"
    text += f" {value['number']}" if value["number"] else ""
    text += f" {value['status']}" if value["status"] else ""
    text += f", id {value['xero_id']}" if value["xero_id"] else ""
    if intention is not None:
        text += f", intention to write it ({intention['step']}, attempt {intention['attempt']})"
    if value["state"] == "WAITING":
        text += f", until {moment(value['retry_at'])}, attempt {value['attempt']}"
    return text + (f": {value['reason']}" if value["reason"] else "")


def _entry_name(value: Mapping[str, Any]) -> str:
    """Of what waits behind the order: a later version, or a refund by its id. A summary is open, closed or posted."""
    extra = value["extra"]
    if extra.get("phase"):
        return f"summary {extra['phase']} with {extra.get('members', '?')}, to close {extra.get('closes_at', '?')},"
    behind = "|".join(value["key"].split("|")[5:]) if value["kind"] == "next" else ""
    return f"refund {behind} behind the order:" if behind else _NAMES.get(value["kind"], value["kind"])


def _entry_facts(value: Mapping[str, Any]) -> dict[str, Any]:
    intention = value["intention"] or {}
    names = ("key", "kind", "state", "number", "xero_id", "status", "version", "retry_at", "reason")
    attempt = max(value["attempt"], intention.get("attempt", 0))
    key = intention.get("idempotency_key") or None
    return {**{name: value[name] for name in names}, "attempt": attempt, "idempotency_key": key}


def _short(version: datetime) -> str:
    return version.isoformat().removesuffix("+00:00") + "Z"


def _header(message: Message, name: str) -> str:
    for found, value in message.headers() or []:
        if found == name and value is not None:
            return str(value.decode("utf-8", "replace"))
    return ""


def _again(message: Message) -> str:
    """How a record came to be sent once more: by a redrive, or as a replay's copy."""
    count, replay = _header(message, "x-replay-count"), _header(message, "x-replay-id")
    text = f", sent again for the {count}. time" if count not in ("", "0") else ""
    decision = _header(message, "x-decision")
    text += f", decided: {decision}" if decision else ""
    return text + (f", copied by replay {replay}" if replay else "")


_MAKERS: dict[str, Callable[[Message, Mapping[str, Any]], Made]] = {
    CHANGES: _hint,
    ORDERS: _event,
    REPLAY_OF[ORDERS]: _event,
    PARKED: _parked,
    SETTLEMENTS: _settlement,
    REPLAY_OF[SETTLEMENTS]: _settlement,
    SETTLEMENTS_PARKED: _parked,
    RESULTS: _result,
    WRITEBACK: _write_back,
}
