"""Reads every dead letter and says how each stands now, by newer letters and by what the results tell.

A letter never leaves its topic, so its state is worked out anew each time: from xero.results.v1, where redrives and
people's decisions are on record too (kind `letter`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from k2x.audit.log import read_to_end
from k2x.dead_letters.letter import ORDER, Letter, State, is_hint, letter_of, schemas_of
from k2x.in_words import moment
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.topics import RESULTS

MARK = "letter"  # the kind of result that records what an operator did with a letter; its findings name the letter
SENT_AGAIN = "sent_again"
SKIPPED = "skipped"
_DONE = frozenset({"POSTED", "ADOPTED", "SUPPRESSED", "CANCELLED"})


@dataclass
class Told:
    """What the results say of the letters' orders: results by record key, marks by letter."""

    results: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    marks: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def take(self, key: str, result: Mapping[str, Any]) -> None:
        if result["kind"] == MARK:
            for letter_id in result["findings"]:
                self.marks.setdefault(letter_id, []).append(result)
        else:
            self.results.setdefault(key, []).append(result)


def gather(kafka: Mapping[str, Any], codec: Codec, orgs: Iterable[str]) -> list[Letter]:
    """All dead letters, oldest first, each with its state. K2xError when the broker does not answer."""
    schemas = schemas_of(orgs)
    letters = [letter_of(message, schemas[message.topic()], codec) for message in read_to_end(kafka, schemas)]
    letters.sort(key=lambda letter: (letter.at, letter.topic, letter.partition, letter.offset))
    return standings(letters, _told(kafka, codec, letters)) if letters else []


def _told(kafka: Mapping[str, Any], codec: Codec, letters: list[Letter]) -> Told:
    """Results are many and letters few: only those of the letters' orders are decoded."""
    wanted = {mark_key(letter) for letter in letters} | {letter.order_key.encode() for letter in letters}
    told = Told()
    for message in read_to_end(kafka, [RESULTS]):
        if message.key() not in wanted:
            continue
        try:
            result = codec.decode(message.value() or b"")
        except SchemaError:  # the results agent has made it a letter of its own
            continue
        told.take((message.key() or b"").decode("utf-8", "replace"), result)
    return told


def mark_key(letter: Letter) -> bytes:
    """The record key of its marks."""
    return letter.key or letter.id.encode()


def standings(letters: Iterable[Letter], told: Told) -> list[Letter]:
    """Each letter with its state. Pure."""
    marked = [replace(letter, marks=_times_sent(letter, told)) for letter in letters]
    newest: dict[tuple[object, ...], Letter] = {}
    skipped: dict[object, Mapping[str, Any]] = {}
    for letter in marked:
        known = newest.get(letter.subject)
        if known is None or _rank(letter) >= _rank(known):
            newest[letter.subject] = letter
        skip = _skip(letter, told)
        if skip is not None:
            skipped[_decided(letter)] = skip
    return [_standing(letter, newest[letter.subject], told, skipped.get(_decided(letter))) for letter in marked]


def _skip(letter: Letter, told: Told) -> Mapping[str, Any] | None:
    """The mark by which a person has dealt with it, if that is the last word."""
    marks = told.marks.get(letter.id, [])
    last = max(marks, key=lambda mark: mark["at"]) if marks else None
    return last if last is not None and last["error_code"] == SKIPPED else None


def _decided(letter: Letter) -> object:
    """What a person decides on when he skips: this version for this reason. A replay that meets the same again finds
    it decided; letters without a version are each decided alone."""
    return letter.id if letter.version is None else (letter.subject, letter.version, letter.error_class, letter.code)


def _rank(letter: Letter) -> tuple[datetime, datetime]:
    return letter.version or letter.at, letter.at


def _times_sent(letter: Letter, told: Told) -> int:
    return sum(mark["error_code"] == SENT_AGAIN for mark in told.marks.get(letter.id, []))


def _standing(letter: Letter, newest: Letter, told: Told, skip: Mapping[str, Any] | None) -> Letter:
    end = _end(letter, told)
    if end:
        return letter.standing(State.RESOLVED, end)
    if newest is not letter:
        what = "it failed again" if newest.version == letter.version else "a newer version failed too"
        return letter.standing(State.SUPERSEDED, f"{what}: {newest.id}")
    marks = told.marks.get(letter.id, [])
    last = max(marks, key=lambda mark: mark["at"]) if marks else skip
    if last is None:
        return letter
    state = State.SKIPPED if last["error_code"] == SKIPPED else State.SENT_AGAIN
    return letter.standing(state, f"{last['message']}, {moment(last['at'])}")


def _end(letter: Letter, told: Told) -> str:
    """The end that the letter's subject came to after it, empty where it came to none."""
    for result in told.results.get(letter.order_key or letter.key_text, []):
        if is_hint(letter):
            if result["kind"] == ORDER and result["received_at"] and result["received_at"] > letter.at:
                return f"the order was read again {moment(result['received_at'])}"
        elif _is_about(letter, result) and _is_end(result) and _covers(result, letter):
            number = f" as {result['number']}" if result["number"] else ""
            return f"{result['outcome'].lower()}{number} {moment(result['at'])}"
    return ""


def _is_about(letter: Letter, result: Mapping[str, Any]) -> bool:
    kind = letter.subject[0]
    if "|settlement/" in (letter.order_key or letter.key_text):
        return bool(result["kind"] == "settlement" and result["outcome"] == "POSTED")
    if "/" in letter.order_key.partition("|")[2]:  # a daily summary's own command: no order's id has a slash
        return bool(result["kind"] == "summary")
    if kind == ORDER:
        return bool(result["kind"] == ORDER and letter.subject[2] is None)
    if letter.schema in ("customer", "product") or (letter.value or {}).get("kind") in ("CONTACT", "ITEM"):
        # A sale tells of its contact too, but under the order's version.
        return result["kind"] in ("contact", "item") and result["order_id"] is None
    return False


def _is_end(result: Mapping[str, Any]) -> bool:
    """Posted, found equal in Xero, or properly left out: not paid, or deleted before it was posted. UNCHANGED of an
    order counts where it names the invoice."""
    if result["outcome"] == "UNCHANGED":
        return result["kind"] != ORDER or bool(result["xero_id"])
    return result["outcome"] in _DONE


def _covers(result: Mapping[str, Any], letter: Letter) -> bool:
    """A newer version's end covers the letter whenever it came; the same version's only if it came afterwards, for an
    order can be edited within one version and then be held."""
    if letter.version is None:
        return False
    return bool(
        result["version"] > letter.version or (result["version"] == letter.version and result["at"] >= letter.at)
    )
