"""The shop's plain web page: what was ordered, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;margin:2rem;max-width:80rem}table{border-collapse:collapse;width:100%}"
    "th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #ddd}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "caption{text-align:left;font-weight:600;padding:.6rem 0}tr.bad td{color:#a33}"
)
SHOWN = 500
"""Newest orders on the page; the export has all."""


def orders_page(truths: Iterable[Mapping[str, Any]], progress: Mapping[str, Any]) -> str:
    """HTML of the newest orders of all instances."""
    orders = sorted(truths, key=lambda truth: str(truth["order_date"]), reverse=True)
    events = progress["events"]
    rows = "".join(_row(truth) for truth in orders[:SHOWN])
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Dancing Goat sandbox</title>'
        f"<style>{_STYLE}</style>"
        "<h1>Dancing Goat, the sandbox shop</h1>"
        f"<p>{len(orders)} orders; events: {events['sent']} delivered, {events['pending']} waiting,"
        f" {events['rejected']} rejected.</p>"
        "<table><caption>Newest orders</caption><thead><tr><th>Store<th>Order"
        "<th>Placed (server time)<th>Kind<th>Total<th>Tax"
        f"<th>Currency<th>Paid<th>Expected</tr></thead><tbody>{rows}</tbody></table></html>"
    )


def _row(truth: Mapping[str, Any]) -> str:
    cells = [truth["store"], truth["order_id"], str(truth["order_date"])[:19].replace("T", " "), truth["kind"]]
    money = "".join(f'<td class="n">{escape(str(truth[name]))}' for name in ("total_price", "total_tax"))
    rest = [truth["currency"], "yes" if truth["paid"] else "no", truth["expected"]]
    bad = ' class="bad"' if str(truth["expected"]).startswith("refused") else ""
    shown = (
        "".join(f"<td>{escape(str(cell))}" for cell in cells)
        + money
        + "".join(f"<td>{escape(str(cell))}" for cell in rest)
    )
    return f"<tr{bad}>{shown}</tr>"
