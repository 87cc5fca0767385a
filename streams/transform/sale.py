"""The sale: contact, invoice and payments as one command. Pure."""

from __future__ import annotations

from collections import Counter

from schemas.types import Decision, Sale
from streams.transform import command, contact, fingerprint, summary
from streams.transform.context import Draft
from streams.transform.errors import Suppress
from streams.transform.money import ZERO, text


def post(draft: Draft) -> None:
    """The command that the sink executes; of an order that nothing calls paid, only its refund."""
    if draft.only_refund:
        draft.command, draft.refund_command = draft.refund_command, None
        if draft.command is None:
            raise Suppress("not_paid", f"{draft.who} is not paid, and there is nothing to give back")
        return
    if draft.contact is None:
        raise RuntimeError(
            f"{draft.key}: post.sale runs after map.contact: the document's check lets nothing else pass"
        )
    part = summary.of_sale(draft)
    body: Sale = {
        "number": draft.number,
        "invoice": draft.invoice,
        "currency": draft.currency,
        "date": draft.date.isoformat(),
        "total": f"{draft.total:.2f}",
        "total_tax": f"{draft.total_tax:.2f}",
        "money_hash": fingerprint.money_hash(draft),
        "contact": draft.contact if part is None else contact.of_store(draft.store),
        "payments": draft.payments,
        "items": draft.items,
        "decisions": decisions(draft),
        "on_other_money": "REISSUE" if draft.store.rules.on_other_money == "reissue" else "HOLD",
        "summary": part,
    }
    order_id = str(draft.order["order"]["OrderID"])
    draft.command = command.envelope(
        draft.order, draft.store, "SALE", draft.key, body, order_id=order_id, findings=draft.findings
    )


def decisions(draft: Draft) -> list[Decision]:
    """Which rules chose the lines' TaxTypes and accounts; lines that were decided alike are one entry."""
    alike = Counter(
        (
            line.class_name, text(line.rate or ZERO), line.tax_type, line.tax_rule, line.account_code,
            line.account_rule,
        )
        for line in draft.lines
    )  # fmt: skip
    return [
        {
            "lines": lines,
            "tax_class": tax_class,
            "rate": rate,
            "tax_type": tax_type,
            "tax_rule": tax_rule,
            "account": account,
            "account_rule": account_rule,
        }
        for (tax_class, rate, tax_type, tax_rule, account, account_rule), lines in alike.items()
    ]
