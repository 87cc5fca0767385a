"""A reconciliation in words and as tables: for a person, for scripts, for a spreadsheet. Pure."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import IO, Any

from k2x.audit.finding import KINDS, Finding
from k2x.audit.reconcile import Outcome
from k2x.audit.summary import COLUMNS, REFUNDS, Tally
from k2x.in_words import moment

_SHOWN = 50  # findings of a kind; all of them are in the JSON and the CSV
_DAYS = 62  # rows; of more days only those are shown that are off
_HEADS = {"dead_lettered": "dead letters", "in_flight": "in flight"}
_COUNTS = (COLUMNS, REFUNDS)
_TEXTS = 3
_FINDING = ("kind", "code", "org", "store", "order", "invoice", "day", "text", "next")


def page(outcome: Outcome) -> str:
    """Everything a person needs: counts, money, findings, and what could not be done."""
    total = outcome.summary.total
    calls = ", ".join(f"{org} {count}" for org, count in sorted(outcome.calls.items())) or "none"
    parts = [
        f"As of {moment(outcome.at)}. Kafka: {outcome.records:,} records. Calls to Xero: {calls}.",
        "\n".join(_table(_counts(outcome))),
        "\n".join(_table(_money(outcome))),
        "\n".join(_table(_refunds(outcome))),
        "\n".join(_table(_dailies(outcome))),
        "\n".join(_settlements(outcome)),
        *_findings(outcome),
        *(f"NOT DONE  {text}" for text in outcome.not_done.values()),
        _ending(outcome, total),
    ]
    return "\n\n".join(part for part in parts if part)


def _counts(outcome: Outcome) -> list[tuple[str, ...]]:
    days = list(outcome.summary.days())
    shown = days if len(days) <= _DAYS else [(place, tally) for place, tally in days if tally.off]
    rows = [("organisation", "store", "day", *(_HEADS.get(name, name) for name in COLUMNS))]
    rows += [(org or "-", store or "-", _day(day), *_cells(tally, ".")) for (org, store, day), tally in shown]
    if len(shown) < len(days):
        stores = outcome.summary.stores()
        rows += [(org or "-", store or "-", "all days", *_cells(tally, ".")) for (org, store), tally in stores]
    return [*rows, ("all", "", "", *_cells(outcome.summary.total, "."))]


def _cells(tally: Tally, nothing: str = "0", names: tuple[str, ...] = COLUMNS) -> tuple[str, ...]:
    return tuple(str(tally.counts[name]) if tally.counts[name] else nothing for name in names)


def _money(outcome: Outcome) -> list[tuple[str, ...]]:
    rows = [
        (org or "-", store or "-", currency, f"{kentico:,.2f}", f"{xero:,.2f}", f"{xero - kentico:,.2f}")
        for (org, store), tally in outcome.summary.stores()
        for currency, kentico, xero in tally.money
    ]
    return [("organisation", "store", "currency", "Kentico", "Xero", "difference"), *rows] if rows else []


def _refunds(outcome: Outcome) -> list[tuple[str, ...]]:
    """What was given back, beside what was sold; nothing in a shop without refunds."""
    rows = []
    for (org, store), tally in outcome.summary.stores():
        nothing = [("-", Decimal(0), Decimal(0))] if tally.counts["refunds"] else []
        for number, (currency, kentico, xero) in enumerate(tally.back or nothing):
            counts = tuple(str(tally.counts[name]) if number == 0 else "" for name in REFUNDS)
            money = (f"{kentico:,.2f}", f"{xero:,.2f}", f"{xero - kentico:,.2f}")
            rows.append((org or "-", store or "-", currency, *money, *counts))
    heads = ("back by Kentico", "back in Xero", "difference", "refunds", "made", "waiting", "in letters")
    return [("organisation", "store", "currency", *heads), *rows] if rows else []


def _dailies(outcome: Outcome) -> list[tuple[str, ...]]:
    """Daily summaries that wait, or are off; the others are in the JSON, and `k2x summary ls` shows all."""
    shown = [one for one in outcome.summary.dailies if one.findings or one.state not in ("posted", "empty")]
    rows = [
        (one.number or one.key, one.store, one.state, str(one.orders), f"{one.total:,.2f}", f"{one.xero:,.2f}",
         one.currency, moment(one.closes_at) if one.closes_at is not None else "-")
        for one in shown
    ]  # fmt: skip
    heads = ("summary", "store", "state", "orders", "come to", "in Xero", "currency", "closes")
    return [heads, *rows] if rows else []


def _settlements(outcome: Outcome) -> list[str]:
    """Gateways' settlements by their end, and what their clearing accounts still hold: what is not paid out yet."""
    ends = outcome.summary.total.settlements
    if not ends:
        return []
    said = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in sorted(ends.items()))
    rows = [
        (row["org"], row["account"], "not paid out yet", row["topics"], row["xero"]) for row in outcome.clearing.rows()
    ]
    heads = [("organisation", "clearing account", "", "by our records", "in Xero")] if rows else []
    return [f"settlements: {said}", *_table([*heads, *rows])]


def _findings(outcome: Outcome) -> Iterator[str]:
    total = outcome.summary.total
    for kind in KINDS:
        lines, count = [], 0
        for finding in outcome.findings(kind):
            count += 1
            if count <= _SHOWN:
                lines += _lines(finding)
        if count > _SHOWN:
            lines.append(f"  … and {count - _SHOWN:,} more: --csv or --json has all of them.")
        if lines:
            orders = total.counts[kind]
            yield "\n".join(
                [f"{kind.upper()}: {count:,} finding{'s' if count > 1 else ''}, {orders:,} affected", *lines]
            )


def _lines(finding: Finding) -> list[str]:
    place = "  ".join(part for part in (finding.org, finding.store, finding.order, finding.number) if part)
    return [f"  {finding.code}  {place}", f"      {finding.text}", f"      → {finding.next}"]


def _ending(outcome: Outcome, total: Tally) -> str:
    if outcome.not_done:
        return f"Not all could be reconciled: {', '.join(sorted(outcome.not_done))}."
    if outcome.clean:
        moving = f" {total.counts['in_flight']} on their way." if total.counts["in_flight"] else ""
        refunds = f" and {total.counts['refunds']:,} refunds" if total.counts["refunds"] else ""
        return f"The books agree: {total.counts['orders']:,} orders{refunds}, nothing is off.{moving}"
    return "The books do not agree: " + ", ".join(f"{total.counts[k]} {k}" for k in KINDS if total.counts[k]) + "."


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """The first three columns are text; the others numbers, to the right."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < _TEXTS else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _day(day: date | None) -> str:
    return day.isoformat() if day is not None else "-"


def write_json(outcome: Outcome, file: IO[str]) -> None:
    """One object: totals at its top, then days, then the findings one by one: there may be a million."""
    head = json.dumps(as_json(outcome), ensure_ascii=False)
    file.write(head.removesuffix("}") + ', "findings": [')
    for number, finding in enumerate(outcome.findings()):
        file.write((", " if number else "") + json.dumps(finding.as_json(), ensure_ascii=False))
    file.write("]}\n")


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Everything but the findings."""
    total = outcome.summary.total
    return {
        "clean": outcome.clean and not outcome.not_done,
        "at": outcome.at.isoformat(),
        **total.as_json(),
        "clearing": outcome.clearing.rows(),
        "xero_calls": dict(sorted(outcome.calls.items())),
        "not_done": outcome.not_done,
        "days": [
            {"org": org or None, "store": store or None, "day": day.isoformat() if day else None, **tally.as_json()}
            for (org, store, day), tally in outcome.summary.days()
        ],
        "summaries": [one.as_json() for one in outcome.summary.dailies],
    }


def write_findings(outcome: Outcome, file: IO[str]) -> None:
    """One row a finding."""
    writer = csv.DictWriter(file, _FINDING)
    writer.writeheader()
    writer.writerows(finding.as_json() for finding in outcome.findings())


def write_days(outcome: Outcome, file: IO[str]) -> None:
    """One row for each organisation, store, day and currency; the counts stand in the first row of a day."""
    writer = csv.writer(file)
    writer.writerow(
        ("org", "store", "day", *COLUMNS, "currency", "kentico", "xero", *REFUNDS, "back_kentico", "back_xero")
    )
    for (org, store, day), tally in outcome.summary.days():
        sold = {currency: (f"{kentico:.2f}", f"{xero:.2f}") for currency, kentico, xero in tally.money}
        back = {currency: (f"{kentico:.2f}", f"{xero:.2f}") for currency, kentico, xero in tally.back}
        for number, currency in enumerate(sorted(sold.keys() | back.keys()) or [""]):
            counts, refunds = (_cells(tally, names=names) if number == 0 else [""] * len(names) for names in _COUNTS)
            money, given = sold.get(currency, ("", "")), back.get(currency, ("", ""))
            writer.writerow((org, store, day.isoformat() if day else "", *counts, currency, *money, *refunds, *given))
