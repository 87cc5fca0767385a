"""What became of what was sent: each version counted once, by its last word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from k2x.replay.tally import Tally
from tests.streams.samples import START


def result(outcome: str, kind: str = "order", order: int | None = 1, version: int = 0, **fields: Any) -> dict[str, Any]:
    key = f"emea|{order}" if order is not None else "emea|C7"
    return {
        "kind": kind, "outcome": outcome, "key": key, "order_id": None if order is None else str(order),
        "version": START + timedelta(seconds=version), "error_class": None, "error_code": None, "message": None,
        "number": None, **fields,
    }  # fmt: skip


def tally(*results: dict[str, Any]) -> Tally:
    made = Tally()
    for one in results:
        made.take(one)
    return made


def test_an_order_that_waited_counts_once_by_its_last_word() -> None:
    waits = result("WAITING", message="the calls of the day are used up")
    found = tally(waits)
    assert found.going_on == {"waiting: the calls of the day are used up": 1}
    assert found.as_json()["going_on"] == 1
    assert found.orders == {}
    found = tally(waits, waits, result("POSTED"), result("PARKED", order=2), result("WAITING", order=2))
    assert found.orders == {"posted": 1}
    assert (found.parked, found.going_on.total()) == (0, 1)
    assert tally(result("PARKED", message="older parked records are fed first")).parked == 1


def test_documents_are_counted_by_what_was_done_in_xero() -> None:
    found = tally(
        result("POSTED", "contact"), result("ADOPTED", "contact", 2), result("POSTED", "invoice"),
        result("ADOPTED", "invoice", 2), result("POSTED", "payment"), result("POSTED", "payment", ordinal=2),
        result("POSTED"), result("POSTED", order=2),
    )  # fmt: skip
    assert found.written == {"contacts": 1, "invoices": 1, "payments": 2}
    assert found.adopted == {"contacts": 1, "invoices": 1}
    assert found.orders == {"posted": 2}, "the contact of a sale is no update of a customer"


def test_updates_of_customers_and_products_stand_apart() -> None:
    item = result("POSTED", "item", None, key="BOOTS", number="BOOTS")
    found = tally(result("UNCHANGED", "contact", None), item, result("SUPPRESSED", "item", None, error_code="off"))
    assert found.updates == {"left_alone": 1, "posted": 1, "suppressed": 1}
    assert (found.items, found.orders, found.reasons) == ({"BOOTS"}, {}, {})
    waiting = result("WAITING", "order", None, message="Xero is away")  # how the sink says it of any command
    assert tally(waiting, result("POSTED", "contact", None)).going_on.total() == 0


def test_reasons_are_told_by_class_and_code() -> None:
    refused = {"error_class": "mapping", "error_code": "account_unknown"}
    found = tally(
        result("REFUSED", **refused), result("REFUSED", order=2, **refused), result("SUPPRESSED", error_code="unpaid")
    )
    assert found.reasons == {"refused": {"mapping/account_unknown": 2}, "suppressed": {"unpaid": 1}}


def test_what_is_collected_into_a_summary_goes_on_until_its_summary_is_posted() -> None:
    told = [
        result(
            "WAITING",
            order=n,
            number=f"UK-S2026112{n % 2}-GBP",
            status="COLLECTED",
            message=f"collected into summary UK-S2026112{n % 2}-GBP, ...",
        )
        for n in range(4)
    ]
    found = tally(*told, result("WAITING", order=9, number="UK-9", message="Xero is away"))
    assert (found.collected, found.going_on.total(), found.orders) == (4, 5, {})
    shown = found.as_json()
    assert (shown["collected"], shown["summaries"], shown["going_on"]) == (4, 2, 5)
    refused = result("REFUSED", order=1, number="UK-S20261121-GBP", status="COLLECTED", message="Its summary ...")
    found = tally(*told, refused)
    assert (found.collected, found.orders) == (4, {}), "the summary has a letter: its orders go on with it"
    found = tally(*told, refused, *(result("POSTED", order=n) for n in range(4)))
    assert (found.collected, found.orders) == (0, {"posted": 4})
