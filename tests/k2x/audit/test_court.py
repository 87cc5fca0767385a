"""The orders beside Xero's documents, through the scratch file: whose invoice is whose, and what is nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from k2x.audit.case import Store
from k2x.audit.court import Court, Scope
from k2x.audit.facts import EntryGone
from k2x.audit.finding import Finding
from k2x.audit.judge import Verdict
from k2x.audit.scratch import Dossier, Scratch, scratch
from tests.k2x.audit.files import DAY, KEY, LATER, STORES, command, copy, entry, file, invoice, listed, result, seen

UK = Scope(("uk",))


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Scratch]:
    made = scratch(tmp_path)
    assert list(tmp_path.iterdir()) == [], "the file is gone from the directory as soon as it is open"
    yield made
    made.close()


def put(into: Scratch, dossier: Dossier, *, late: bool = False) -> None:
    for fact in (*dossier.orders, *dossier.commands, *dossier.results, *dossier.letters, *dossier.entries):
        into.add(fact, late=late)
    into.add_invoices(dossier.invoices)
    into.add_payments(dossier.payments)


def sit(of: Scratch, scope: Scope = UK, stores: dict[str, Store] = STORES) -> tuple[dict[str, Verdict], list[Finding]]:
    court = Court(of, stores, LATER, scope)
    verdicts = {verdict.key: verdict for verdict in map(court.judge, court.dossiers()) if verdict is not None}
    for verdict in verdicts.values():
        court.claim(verdict)
    return verdicts, [finding for finding, _ in court.strays()]


def other(number: int, **changes: object) -> Dossier:
    """Another posted order of the store."""
    key, name = f"emea|{number}", f"UK-{number}"
    return file(
        key=key,
        orders=(seen(key=key, order_id=str(number)),),
        commands=(command(key=key, number=name, reference=str(number), offset=number),),
        results=(result("POSTED", key=key),),
        entries=(
            entry(key=key, ledger_key=f"{key}|invoice|0", xero_id=f"i-{number}", number=name),
            entry("payment", 1, key=key, ledger_key=f"{key}|payment|1", number=f"{name}/1"),
        ),
        invoices=(
            invoice(
                id=f"i-{number}",
                number=name,
                reference=str(number),
                payments=(listed(id=f"p-{number}", invoice_id=f"i-{number}", reference=f"{name}/1"),),
            ),
        ),
        payments=(listed(id=f"p-{number}", invoice_id=f"i-{number}", reference=f"{name}/1"),),
        **changes,
    )


def test_each_order_finds_its_own_documents_and_nothing_is_left(held: Scratch) -> None:
    for number in (7, 8, 70, 71):
        put(held, file() if number == 7 else other(number))
    verdicts, strays = sit(held)
    assert {key: (v.state, v.findings, v.claims) for key, v in verdicts.items()} == {
        f"emea|{number}": ("posted", (), {f"i-{number}"}) for number in (7, 8, 70, 71)
    }
    assert strays == []


def test_an_invoice_under_our_prefix_that_nobody_posted_is_found(held: Scratch) -> None:
    put(held, file())
    stray = invoice(id="i-9", number="uk-999", reference="", contact_id="c-9", payments=())
    held.add_invoices([stray, invoice(id="i-10", number="INV-1", reference="", contact_id="c-9", date=None)])
    _, (found,) = sit(held)
    assert (found.code, found.store, found.number, found.day) == ("foreign_invoice", "emea/GoatUK", "uk-999", DAY)


def test_a_copy_without_number_and_reference_of_ours_is_a_possible_double(held: Scratch) -> None:
    put(held, file())
    held.add_invoices(
        [
            copy(id="i-20", number="INV-55", reference=""),
            copy(id="i-21", number="INV-56", reference="", status="VOIDED"),
            copy(id="i-22", number="INV-57", reference="", total=Decimal("24.01")),
            copy(id="i-23", number="INV-58", reference="", date=DAY + timedelta(days=1)),
            copy(id="i-24", number="INV-59", reference="", contact_id="c-2"),
        ]
    )
    _, (found,) = sit(held)
    assert (found.code, found.number, found.order, found.store) == ("possible_double", "INV-55", KEY, "emea/GoatUK")
    assert "UK-7" in found.text


def test_a_copy_with_the_reference_is_its_orders_and_not_told_twice(held: Scratch) -> None:
    put(held, file())
    held.add_invoices([copy()])
    verdicts, strays = sit(held)
    assert [f.code for f in verdicts[KEY].findings] == ["duplicate_invoice"]
    assert strays == []


def test_two_orders_with_the_same_customers_own_reference_are_no_doubles(held: Scratch) -> None:
    """reference_from may name a column like a purchase order number."""
    for dossier in (file(), other(8)):
        (sale,), (theirs,) = dossier.commands, dossier.invoices
        put(
            held,
            replace(
                dossier,
                commands=(replace(sale, reference="PO 1"),),
                invoices=(replace(theirs, reference="PO 1"),),
            ),
        )
    verdicts, strays = sit(held)
    assert [verdict.findings for verdict in verdicts.values()] == [(), ()]
    assert strays == []


def test_a_number_taken_from_another_column_may_look_like_another_orders(held: Scratch) -> None:
    """number_from: OrderInvoiceNumber: order 8 has the number that order 7 would have had by its OrderID."""
    own = file(
        commands=(command(number="UK-A7"),),
        entries=(entry(number="UK-A7"), entry("payment", 1, number="UK-A7/1")),
        invoices=(invoice(number="UK-A7", payments=(listed(reference="UK-A7/1"),)),),
        payments=(listed(reference="UK-A7/1"),),
    )
    put(held, own)
    theirs = other(8)
    (sale,), (document,) = theirs.commands, theirs.invoices
    paid = (listed(id="p-8", invoice_id="i-8", reference="UK-7/1"),)
    put(
        held,
        replace(
            theirs,
            commands=(replace(sale, number="UK-7"),),
            entries=(replace(theirs.entries[0], number="UK-7"), replace(theirs.entries[1], number="UK-7/1")),
            invoices=(replace(document, number="UK-7", payments=paid),),
            payments=paid,
        ),
    )
    verdicts, strays = sit(held)
    assert [verdict.findings for verdict in verdicts.values()] == [(), ()]
    assert strays == []


def test_a_ledger_entry_that_was_taken_out_is_missed(held: Scratch) -> None:
    put(held, file())
    held.add(EntryGone(KEY, f"{KEY}|invoice|0", "uk"))
    verdicts, _ = sit(held)
    assert [f.code for f in verdicts[KEY].findings] == ["ledger_missing"]


def test_what_is_written_while_xero_is_read_is_on_its_way_and_explains_its_invoice(held: Scratch) -> None:
    put(held, other(8), late=True)
    verdicts, strays = sit(held)
    assert (verdicts["emea|8"].state, verdicts["emea|8"].findings, strays) == ("posted", (), [])
    held.add(EntryGone("emea|8", "emea|8|invoice|0", "uk"), late=True)
    assert sit(held)[0]["emea|8"].findings == ()


def test_newer_readings_of_xero_replace_older_ones(held: Scratch) -> None:
    put(held, file(invoices=(copy(id="i-7", number="UK-7"),), payments=()))
    held.add_invoices([invoice()])
    held.add_payments([listed()])
    assert sit(held)[0][KEY].findings == ()


@pytest.mark.parametrize(
    ("scope", "takes"),
    [
        (UK, True),
        (Scope(("au",)), False),
        (Scope(("uk",), store="emea/GoatUK"), True),
        (Scope(("uk",), store="emea/Other"), False),
        (Scope(("uk",), since=DAY, until=DAY), True),
        (Scope(("uk",), since=DAY + timedelta(days=1)), False),
        (Scope(("uk",), until=DAY - timedelta(days=1)), False),
    ],
)
def test_a_scope_takes_what_was_asked_for(scope: Scope, takes: bool) -> None:
    assert scope.takes("uk", "emea/GoatUK", DAY) is takes
