"""The sale: contact, invoice and payments as one command. Pure."""

from __future__ import annotations

from schemas.types import Sale
from streams.transform import command, fingerprint
from streams.transform.context import Draft


def post(draft: Draft) -> None:
    """The command that the sink executes."""
    if draft.contact is None:
        raise RuntimeError(
            f"{draft.key}: post.sale runs after map.contact: the document's check lets nothing else pass"
        )
    body: Sale = {
        "number": draft.number,
        "invoice": draft.invoice,
        "currency": draft.currency,
        "date": draft.date.isoformat(),
        "total": f"{draft.total:.2f}",
        "total_tax": f"{draft.total_tax:.2f}",
        "money_hash": fingerprint.money_hash(draft),
        "contact": draft.contact,
        "payments": draft.payments,
        "items": draft.items,
        "on_other_money": "REISSUE" if draft.store.rules.on_other_money == "reissue" else "HOLD",
    }
    order_id = str(draft.order["order"]["OrderID"])
    draft.command = command.envelope(
        draft.order, draft.store, "SALE", draft.key, body, order_id=order_id, findings=draft.findings
    )
