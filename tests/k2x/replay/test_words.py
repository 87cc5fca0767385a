"""What a person reads of a plan and of a replay."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from k2x.replay.backlog import Standing
from k2x.replay.forecast import Forecast
from k2x.replay.run import Seen
from k2x.replay.tally import Tally
from k2x.replay.words import Progress, forecast, minutes, outcome


def tally() -> Tally:
    made = Tally(unreadable=1)
    made.orders.update(posted=30, left_alone=1012, refused=3)
    made.reasons["refused"] = Counter({"validation/unbalanced": 1, "mapping/account_unknown": 2})
    made.written.update(invoices=30, payments=34, contacts=1)
    made.adopted.update(invoices=1)
    made.refunds.update(posted=4, left_alone=1)
    made.updates.update(left_alone=2)
    return made


def test_an_outcome_is_a_line_a_kind_and_nothing_of_what_there_is_none() -> None:
    assert outcome("uk", tally()) == [
        "uk: 1,045 order versions",
        "  posted              30",
        "  left alone       1,012",
        "  refused              3  2 mapping/account_unknown, 1 validation/unbalanced",
        "  write        30 invoices, 34 payments, 1 contact",
        "  adopt        1 invoice, which Xero has already",
        "  refunds      1 left alone, 4 posted",
        "  updates      2 left alone (customers and products)",
        "  unreadable           1  not sent: a dead letter says so already",
    ]


def test_a_plan_says_calls_minutes_and_days() -> None:
    found = Forecast("uk", 1045, tally(), calls=1200, seconds=1330.0, unsure=2, day=900, day_left=400, looked=77)
    noted = replace(found, looked_credits=5)
    assert "  looked at           77  sales invoices and 5 credit notes of Xero's" in forecast(noted)
    assert noted.as_json()["credit_notes_looked_at"] == 5
    assert forecast(found)[-3:] == [
        "  looked at           77  sales invoices of Xero's",
        "               2 of the contacts only if Xero shows them otherwise",
        "  calls        about 1,200, in 22 min at the pace of Xero's minute; the calls of a day do not suffice: "
        "2 days; 400 left today",
    ]
    nothing = Forecast("uk", 5, Tally(), calls=0, seconds=0.0, unsure=0, day=900, day_left=None)
    assert forecast(nothing)[-2:] == ["  to write     nothing", "  calls        none"]


def test_progress_says_what_an_organisation_waits_for() -> None:
    standing = Standing(copies=20, commands=180, command_end=1, command_done=1)
    line = Progress().line
    assert line(Seen("uk", 1200, 800, standing, "sending", "", 0.0), 1.0) == "uk: 1,200 sent, 200 outstanding, 800 left"
    waits = line(Seen("uk", 1, 9, standing, "sending", "waiting: the calls of the day are used up", 900.0), 1.0)
    assert waits.endswith("9 left (waiting: the calls of the day are used up)")
    still = line(Seen("uk", 1, 9, standing, "sending", "", 300.0), 1.0)
    assert "nothing has moved for 5 min: is its lane paused or refused?" in still
    assert line(Seen("uk", 1, 0, standing, "until", "", 0.0), 1.0).endswith("0 left, until")


def test_durations() -> None:
    assert [minutes(s) for s in (0.2, 42, 600, 9000)] == ["1 s", "42 s", "10 min", "2.5 h"]


def test_a_plan_says_what_is_collected_and_what_its_close_will_cost() -> None:
    made = Tally()
    for number in range(3):
        made.take(
            {
                "kind": "order", "outcome": "WAITING", "status": "COLLECTED", "key": f"emea|{number}",
                "order_id": "1", "version": number,
                "number": "UK-S20261124-GBP", "message": "collected into summary UK-S20261124-GBP, which closes ...",
            }
        )  # fmt: skip
    found = Forecast("uk", 3, made, calls=0, seconds=0.0, unsure=0, day=900, day_left=400)
    assert forecast(found)[-3:] == [
        "  goes on              3  collected into 1 daily summary, posted at the close",
        "  calls        about 3 more when the daily summaries close",
        "  calls        none now",
    ]
    assert found.as_json()["calls_at_close"] == 3
