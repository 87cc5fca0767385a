"""The demo's last page: a table per organisation, one order beside its invoice, one dead letter, and links."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from k2x.audit.finding import Finding
from k2x.audit.judge import Verdict
from k2x.demo.observe import PROGRAMS
from k2x.demo.outcome import Account, by_org, reasons
from k2x.demo.run import Look

_HEAD = (
    "organisation",
    "orders",
    "invoices",
    "paid",
    "dead letters",
    "suppressed",
    "held",
    "Xero calls",
    "calls/order",
    "p50 s",
    "p95 s",
)


def page(look: Look, *, books_url: str, metrics: dict[str, str], curl: str, logs: str) -> str:
    """The whole page as text."""
    parts = [
        table(look),
        faults(look.verdicts, look.strays),
        letters(look.verdicts),
        beside(look),
        one_letter(look.verdicts),
        f"Look around\n  Xero's books      {books_url}\n  logs              {logs}\n"
        + "".join(f"  {name if name in PROGRAMS else name + ' metrics':17} {url}\n" for name, url in metrics.items()),
        f"Send an order of your own (it is signed for five minutes from when you paste it)\n{curl}",
    ]
    return "\n".join(part for part in parts if part)


def table(look: Look) -> str:
    """One row an organisation, then the total with latency."""
    rows = [_row(org, one) for org, one in by_org(look.verdicts, look.calls).items()]
    total = look.total
    rows.append(_row("all", total))
    widths = [max(len(str(row[i])) for row in [_HEAD, *rows]) for i in range(len(_HEAD))]
    lines = [
        "  ".join(
            str(cell).rjust(width) if i else str(cell).ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [_HEAD, *rows]
    ]
    paid_out = f"\nsettlements {total.settlements}, in Xero: {_bank(look)}" if total.settlements else ""
    tail = (
        "\np50, p95: from the event's acceptance to PAID in Xero"
        f"\nrefunds {total.refunds}, of which {total.refunded} are in Xero as a credit note with the money back"
        f"{paid_out}"
        f"\nlost {total.lost}   doubled {total.doubled}   drift {total.drift}   unmatched {total.unmatched}"
        "   (by an independent reader of topics and books)"
    )
    return "\n".join(lines) + tail + "\n"


def _bank(look: Look) -> str:
    """What gateways have kept and paid out, by Xero's own documents."""
    living = [one for one in look.bank if one.living]
    fees = sum((one.total for one in living if one.type == "SPEND"), Decimal(0))
    moved = sum((one.total for one in living if one.kind == "bank_transfer"), Decimal(0))
    return f"fees {fees:,.2f}, payouts {moved:,.2f} GBP"


def faults(verdicts: Sequence[Verdict], strays: Sequence[Finding] = ()) -> str:
    """What should never be: whatever the audit has found."""
    found = [finding for verdict in verdicts for finding in verdict.all_findings]
    lines = [f"  {f.kind.upper()} {f.code} {f.order} of {f.store}: {f.text}" for f in (*found, *strays)]
    return "\n".join(["Not as it must be", *lines, ""]) if lines else ""


def letters(verdicts: Sequence[Verdict]) -> str:
    """Dead letters by reason; these orders failed well: nothing of them is lost."""
    counted = reasons(verdicts)
    return (
        "\n".join(["Dead letters by reason", *(f"  {count:4}  {name}" for name, count in counted), ""])
        if counted
        else ""
    )


def beside(look: Look) -> str:
    """One order of several lines beside its invoice and payment."""
    chosen = _most_telling(look.verdicts)
    if chosen is None or chosen.invoice is None or chosen.seen is None:
        return ""
    order, invoice = chosen.seen, chosen.invoice
    rows: list[tuple[str, Any, Any]] = [
        ("number", f"order {order.order_id} of {order.store}", f"{invoice.number} in {invoice.org}, {invoice.status}"),
        ("total", f"{order.total:.2f} {order.currency}", f"{invoice.total:.2f} {invoice.currency}"),
        ("tax", f"{order.tax:.2f}", f"{invoice.total_tax:.2f}"),
        ("gift cards", f"{order.gift_cards:.2f}", ""),
        (
            "paid",
            f"{order.total - order.gift_cards:.2f} by the gateway",
            " + ".join(f"{p.amount:.2f}" for p in invoice.payments),
        ),
        ("due", "", f"{invoice.amount_due:.2f}"),
    ]
    lines = [f"  {name:11} {left!s:38} {right}" for name, left, right in rows]
    return "\n".join(["One order beside its invoice", f"  {'':11} {'Kentico':38} Xero", *lines, ""])


def one_letter(verdicts: Sequence[Verdict]) -> str:
    """One dead letter in words."""
    letter = next((v.letter for v in verdicts if v.state == "dead_lettered" and v.letter is not None), None)
    if letter is None:
        return ""
    return (
        f"One dead letter\n  order    {letter.key} of {letter.store}\n"
        f"  why      {letter.error_class}: {letter.message}\n"
        f"  remedy   {letter.hint}\n  where    {letter.topic}, partition {letter.partition}, offset {letter.offset}\n"
    )


def _most_telling(verdicts: Sequence[Verdict]) -> Verdict | None:
    """A posted order with the most payments, then the most tax: it shows more than one rule at work."""
    posted = [v for v in verdicts if v.invoice is not None and v.invoice.status == "PAID"]
    return max(posted, key=lambda v: (len(v.invoice.payments), v.invoice.total_tax), default=None)  # type: ignore[union-attr]


def _row(name: str, one: Account) -> tuple[Any, ...]:
    return (
        name,
        one.orders_in,
        one.posted,
        one.paid,
        one.dead_lettered,
        one.suppressed,
        one.held,
        one.xero_calls,
        one.calls_per_order,
        one.p50_latency_s,
        one.p95_latency_s,
    )
