"""The books on plain web pages: organisations, invoices, one invoice with its lines, tax and payments."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from html import escape
from urllib.parse import quote

from aiohttp import web

from connectors.xero.sandbox import bank
from connectors.xero.sandbox.accounting import World
from connectors.xero.sandbox.books import Books, fold
from connectors.xero.sandbox.documents import Document

PER_PAGE = 100
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;margin:0;background:#f5f7f9}
header{background:#0b3b5c;color:#fff;padding:.7rem 2rem}header a{color:#fff;text-decoration:none;margin-right:1.5rem}
main{max-width:72rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;background:#fff}
th,td{padding:.4rem .7rem;border-bottom:1px solid #e2e7ec;text-align:left;vertical-align:top}
th{font-weight:600;color:#54636f;background:#fafbfc}.n{text-align:right;font-variant-numeric:tabular-nums}
tfoot td{font-weight:600;border-bottom:0}.s{padding:.05rem .5rem;border-radius:.7rem;background:#e2e7ec;font-size:.85em}
.PAID{background:#cfeedd}.AUTHORISED{background:#d6e6fa}.VOIDED,.DELETED{background:#f3d6d6}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.5rem}
dt{color:#54636f}dd{margin:0}
.e{color:#54636f;padding:2rem;text-align:center}form{margin:.8rem 0}input,button{font:inherit;padding:.2rem .5rem}
"""


def money(value: Decimal) -> str:
    """1234.5 → 1,234.50."""
    return f"{value:,.2f}"


def page(title: str, content: str, slug: str = "") -> web.Response:
    """The frame of every page."""
    links = '<a href="/books">Organisations</a>'
    if slug:
        links += "".join(
            f'<a href="/books/{slug}{path}">{name}</a>'
            for path, name in (
                ("", "Invoices"),
                ("/payments", "Payments"),
                ("/bank", "Bank"),
                ("/credit-notes", "Credit notes"),
                ("/contacts", "Contacts"),
            )
        )
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)} · Xero sandbox</title><style>{STYLE}</style>"
        f"<header>{links}<span>Xero sandbox</span></header><main><h1>{escape(title)}</h1>{content}</main></html>"
    )
    return web.Response(text=text, content_type="text/html")


def table(heads: Iterable[str], rows: list[list[str]], empty: str, foot: str = "") -> str:
    """A table; a head that starts with # is a column of numbers."""
    names = list(heads)
    if not rows:
        return f'<p class="e">{escape(empty)}</p>'

    def cell(tag: str, name: str, content: str) -> str:
        return f"<{tag}{' class=n' if name.startswith('#') else ''}>{content}</{tag}>"

    head = "".join(cell("th", name, escape(name.lstrip("#"))) for name in names)
    body = "".join(
        f"<tr>{''.join(cell('td', name, one) for name, one in zip(names, row, strict=True))}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}</table>"


def status(document_status: str) -> str:
    """A coloured status."""
    return f'<span class="s {document_status}">{document_status}</span>'


def link(slug: str, document: Document) -> str:
    """A link to a document's page."""
    kind = "credit-notes" if document.is_credit else "invoices"
    key = document.number or document.id
    return f'<a href="/books/{slug}/{kind}/{quote(key, safe="")}">{escape(key)}</a>'


class Pages:
    """Handlers of the pages."""

    def __init__(self, world: World):
        self.world = world

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/", self.home),
            web.get("/books", self.organisations),
            web.get("/books/{org}", self.invoices),
            web.get("/books/{org}/payments", self.payments),
            web.get("/books/{org}/bank", self.bank),
            web.get("/books/{org}/credit-notes", self.credit_notes),
            web.get("/books/{org}/contacts", self.contacts),
            web.get("/books/{org}/{kind:invoices|credit-notes}/{number:.+}", self.document),
        ]

    def _books(self, request: web.Request) -> Books:
        books = self.world.books.get(request.match_info["org"])
        if books is None:
            raise web.HTTPNotFound(text="No such organisation. See /books")
        return books

    async def home(self, _: web.Request) -> web.Response:
        """To the books."""
        return web.Response(status=302, headers={"Location": "/books"})

    async def organisations(self, _: web.Request) -> web.Response:
        """All organisations with their counts and sums."""
        rows = []
        for slug, books in self.world.books.items():
            posted = [
                one for one in books.invoices.values() if one.type == "ACCREC" and one.status in {"AUTHORISED", "PAID"}
            ]
            base = books.org.base_currency
            rows.append(
                [
                    f'<a href="/books/{slug}">{escape(books.org.name)}</a>',
                    base,
                    str(len(posted)),
                    str(sum(one.status == "PAID" for one in posted)),
                    money(sum((one.total for one in posted if one.currency == base), Decimal(0))),
                    str(sum(one.status == "AUTHORISED" for one in books.payments.values())),
                    str(len(books.credit_notes)),
                    str(len(books.contacts)),
                ]
            )
        heads = [
            "Organisation",
            "Currency",
            "#Invoices",
            "#Paid",
            "#Total in it",
            "#Payments",
            "#Credit notes",
            "#Contacts",
        ]
        clock = self.world.clock
        now = f"<p>Sandbox time: {clock.now():%d %B %Y %H:%M:%S} UTC, running at {clock.speed:g}×.</p>"
        return page("Organisations", now + table(heads, rows, "No organisations."))

    def _documents(self, request: web.Request, held: Iterable[Document], what: str) -> str:
        books, slug = self._books(request), request.match_info["org"]
        wanted, search = request.query.get("status", ""), fold(request.query.get("q", ""))
        number = request.query.get("page", "1")
        at = max(1, int(number)) if number.isdigit() else 1
        rows = sorted(held, key=lambda row: row.seq, reverse=True)
        rows = [one for one in rows if not wanted or one.status == wanted]
        if search:
            rows = [
                one
                for one in rows
                if search in fold(f"{one.number} {one.reference} {books.contacts[one.contact_id].name}")
            ]
        shown = rows[(at - 1) * PER_PAGE : at * PER_PAGE]
        form = (
            f'<form><input name="q" placeholder="number, reference or contact" '
            f'value="{escape(request.query.get("q", ""))}">'
            f'<input type="hidden" name="status" value="{escape(wanted)}"> <button>Find</button> {len(rows)} {what}'
            + "".join(
                f' · <a href="?status={one}">{one.lower()}</a>' for one in ("PAID", "AUTHORISED", "DRAFT", "VOIDED")
            )
            + f' · <a href="/books/{slug}{"" if what == "invoices" else "/credit-notes"}">all</a></form>'
        )
        content = table(
            ["Number", "Reference", "Contact", "Date", "Status", "", "#Tax", "#Total", "#Due"],
            [
                [
                    link(slug, one),
                    escape(one.reference),
                    escape(books.contacts[one.contact_id].name),
                    one.date.isoformat(),
                    status(one.status),
                    one.currency,
                    money(one.total_tax),
                    money(one.total),
                    money(one.outstanding),
                ]
                for one in shown
            ],
            f"No {what} here yet.",
        )
        more = f'<p><a href="?page={at + 1}&status={escape(wanted)}">Older</a></p>' if len(rows) > at * PER_PAGE else ""
        return form + content + more

    async def invoices(self, request: web.Request) -> web.Response:
        """The newest invoices first."""
        books = self._books(request)
        return page(
            f"{books.org.name}: invoices", self._documents(request, books.invoices.values(), "invoices"), books.org.slug
        )

    async def credit_notes(self, request: web.Request) -> web.Response:
        """The newest credit notes first."""
        books = self._books(request)
        content = self._documents(request, books.credit_notes.values(), "credit notes")
        return page(f"{books.org.name}: credit notes", content, books.org.slug)

    async def payments(self, request: web.Request) -> web.Response:
        """The newest payments first, and the sums per account."""
        books, slug = self._books(request), request.match_info["org"]
        rows = sorted(books.payments.values(), key=lambda row: row.seq, reverse=True)
        sums: dict[str, Decimal] = {}
        for one in rows:
            if one.status == "AUTHORISED":
                sign = -1 if one.type in {"ARCREDITPAYMENT", "ACCPAYPAYMENT"} else 1
                sums[one.account_id] = sums.get(one.account_id, Decimal(0)) + sign * one.bank_amount
        accounts = books.org.accounts_by_id
        totals = table(
            ["Account", "Currency", "#Received"],
            [
                [
                    f"{accounts[id_].code} {escape(accounts[id_].name)}",
                    accounts[id_].currency or books.org.base_currency,
                    money(value),
                ]
                for id_, value in sorted(sums.items(), key=lambda pair: accounts[pair[0]].code)
            ],
            "Nothing received yet.",
        )
        documents = {one.document_id: books.document(one.document_id) for one in rows[:PER_PAGE]}
        listing = table(
            ["Date", "Document", "Reference", "Account", "Status", "#Amount"],
            [
                [
                    one.date.isoformat(),
                    link(slug, document) if (document := documents[one.document_id]) else "",
                    escape(one.reference),
                    f"{accounts[one.account_id].code} {escape(accounts[one.account_id].name)}",
                    status(one.status),
                    money(one.amount),
                ]
                for one in rows[:PER_PAGE]
            ],
            "No payments here yet.",
        )
        return page(f"{books.org.name}: payments", f"{totals}<h2>Newest payments</h2>{listing}", slug)

    async def bank(self, request: web.Request) -> web.Response:
        """What each bank account holds, and the newest money spent, received and transferred."""
        books = self._books(request)
        accounts, base = books.org.accounts_by_id, books.org.base_currency
        held = sorted(bank.balances(books).items(), key=lambda pair: accounts[pair[0]].code)
        totals = table(
            ["Account", "Currency", "#Balance"],
            [
                [f"{accounts[id_].code} {escape(accounts[id_].name)}", accounts[id_].currency or base, money(value)]
                for id_, value in held
                if accounts[id_].type == "BANK"
            ],
            "Nothing on any bank account yet.",
        )
        rows = sorted(books.bank_transactions.values(), key=lambda row: row.seq, reverse=True)[:PER_PAGE]
        listing = table(
            ["Date", "Type", "Reference", "Account", "Status", "#Tax", "#Amount"],
            [
                [
                    one.date.isoformat(),
                    one.type,
                    escape(one.reference),
                    f"{accounts[one.account_id].code} {escape(accounts[one.account_id].name)}",
                    status(one.status),
                    money(one.total_tax),
                    money(one.total),
                ]
                for one in rows
            ],
            "No bank transactions yet.",
        )
        return page(f"{books.org.name}: bank", f"{totals}<h2>Newest</h2>{listing}", books.org.slug)

    async def contacts(self, request: web.Request) -> web.Response:
        """The newest contacts first."""
        books = self._books(request)
        rows = sorted(books.contacts.values(), key=lambda row: row.seq, reverse=True)[:PER_PAGE]
        content = table(
            ["Name", "Number", "E-mail", "Status", "#Documents"],
            [
                [
                    escape(one.name),
                    escape(one.number or ""),
                    escape(one.fields.get("EmailAddress", "")),
                    status(one.status),
                    str(len(books.documents_by_contact.get(one.id, ()))),
                ]
                for one in rows
            ],
            "No contacts here yet.",
        )
        return page(f"{books.org.name}: contacts", content, books.org.slug)

    async def document(self, request: web.Request) -> web.Response:
        """One invoice or credit note, with lines, tax and payments."""
        books, number = self._books(request), request.match_info["number"]
        credit = request.match_info["kind"] == "credit-notes"
        found = books.find_document(number, credit=credit)
        if found is None:
            raise web.HTTPNotFound(text=f"No document {number} in {books.org.name}")
        what = "Credit note" if credit else "Invoice"
        return page(
            f"{what} {found.number or found.id}", self._facts(books, found) + self._parts(books, found), books.org.slug
        )

    def _facts(self, books: Books, found: Document) -> str:
        who = books.contacts[found.contact_id]
        facts = {
            "Status": status(found.status),
            "Contact": escape(who.name) + (f" ({escape(who.number)})" if who.number else ""),
            "Reference": escape(found.reference) or "–",
            "Date": found.date.isoformat() + (f", due {found.due_date}" if found.due_date else ""),
            "Currency": f"{found.currency}, rate {found.currency_rate.normalize():f}",
            "Amounts are": {"Inclusive": "tax inclusive", "Exclusive": "tax exclusive"}.get(
                found.line_amount_types, "no tax"
            ),
        }
        return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items()) + "</dl>"

    def _parts(self, books: Books, found: Document) -> str:
        slug = books.org.slug
        rates, accounts = books.org.tax_rates, books.org.accounts_by_id
        feet = [("Subtotal", found.sub_total), ("Tax", found.total_tax), ("Total", found.total)]
        feet += [("Paid", found.paid), ("Credited", found.credited), ("Outstanding", found.outstanding)]
        foot = "".join(
            f'<tr><td colspan="7" class=n>{name}</td><td class=n>{money(value)}</td></tr>' for name, value in feet
        )
        lines = table(
            ["Description", "Item", "Account", "Tax", "#Quantity", "#Price", "#Tax amount", "#Amount"],
            [
                [
                    escape(one.description),
                    escape(one.item_code),
                    escape(one.account_code),
                    f"{one.tax_type} {rates[one.tax_type].percent:f}%"
                    if one.tax_type in rates
                    else escape(one.tax_type),
                    f"{one.quantity.normalize():f}",
                    f"{one.unit_amount.normalize():f}" + (_discount(one.discount_rate, one.discount_amount)),
                    money(one.tax_amount) + (" *" if one.tax_sent else ""),
                    money(one.line_amount),
                ]
                for one in found.lines
            ],
            "No lines.",
            f"<tfoot>{foot}</tfoot>",
        )
        by_tax: dict[str, list[Decimal]] = {}
        for one in found.lines:
            sums = by_tax.setdefault(one.tax_type, [Decimal(0), Decimal(0)])
            net = one.line_amount - (one.tax_amount if found.line_amount_types == "Inclusive" else 0)
            sums[0], sums[1] = sums[0] + net, sums[1] + one.tax_amount
        taxes = table(
            ["Tax type", "#Net", "#Tax"],
            [[kind, money(net), money(tax)] for kind, (net, tax) in by_tax.items()],
            "No tax.",
        )
        ids = books.payments_by_document.get(found.id, ())
        paid = table(
            ["Date", "Account", "Reference", "Status", "#Amount", "#In the account"],
            [
                [
                    one.date.isoformat(),
                    f"{accounts[one.account_id].code} {escape(accounts[one.account_id].name)}",
                    escape(one.reference),
                    status(one.status),
                    money(one.amount),
                    money(one.bank_amount),
                ]
                for one in (books.payments[id_] for id_ in ids)
            ],
            "No payments.",
        )
        credits = table(
            ["Date", "Document", "#Amount"],
            [
                [
                    one.date.isoformat(),
                    link(slug, other) if (other := books.document(one.other_id)) else "",
                    money(one.amount),
                ]
                for one in found.allocations
            ],
            "No credit allocated.",
        )
        note = "<p>* tax amount sent by the caller</p>" if any(one.tax_sent for one in found.lines) else ""
        return f"<h2>Lines</h2>{lines}{note}<h2>Tax</h2>{taxes}<h2>Payments</h2>{paid}<h2>Credit</h2>{credits}"


def _discount(rate: Decimal | None, amount: Decimal | None) -> str:
    if rate is not None:
        return f" − {rate.normalize():f}%"
    return f" − {money(amount)}" if amount is not None else ""
