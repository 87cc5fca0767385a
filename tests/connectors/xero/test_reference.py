"""Reference reads: planned, digested and compared; against recorded shapes and the sandbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.xero.auth import CustomConnection, Identity, IdentitySettings
from connectors.xero.calls import Answer, Call, Doubt
from connectors.xero.client import ClientSettings, XeroClient
from connectors.xero.errors import ReferenceUnreadable
from connectors.xero.reference import (
    PAGE_SIZE,
    Kind,
    Row,
    calls,
    changes,
    complete,
    day,
    digest,
    due,
    follow,
    instant,
    kind_of,
    record,
    server_time,
    since_header,
    whole,
)
from schemas.codec import Codec
from schemas.ids import CommittedIds
from tests.connectors.xero.servers import SandboxProcess

SINCE = datetime(2026, 11, 24, 10, 0, 0, tzinfo=UTC)


def one(kind: Kind, since: datetime | None = None) -> Call:
    (call,) = calls(since, [kind])
    return call


def test_a_full_read_is_seven_calls_and_a_later_one_asks_for_changes_where_xero_can() -> None:
    full, later = calls(None), calls(SINCE)
    assert [call.path for call in full] == [
        "Organisation",
        "Accounts",
        "TaxRates",
        "Currencies",
        "Items",
        "TrackingCategories",
        "Contacts",
    ]
    assert all(whole(call) and call.method == "GET" and call.purpose == "reference" for call in full)
    assert {call.path: call.if_modified_since for call in later if not whole(call)} == {
        "Items": "2026-11-24T10:00:00",
        "Contacts": "2026-11-24T10:00:00",
    }
    assert dict(full[-1].query) == {"includeArchived": "true", "page": "1", "pageSize": "1000"}


def test_a_day_of_refreshing_costs_about_a_hundred_calls() -> None:
    read_at: dict[Kind, float] = {}
    spent = 0
    for now in range(0, 86400, 60):
        for kind in due(read_at, now):
            read_at[kind] = now
            spent += 1
    assert 90 <= spent <= 130
    all_read: dict[Kind, float] = {kind_of(call): 0.0 for call in calls(None)}
    assert due(all_read, 719, scale=5.0) == []
    assert due(all_read, 720, scale=5.0) == ["ORGANISATION", "ACCOUNT", "ITEM", "CONTACT"]


ORGANISATION = {
    "Name": "Demo Company (NZ)",
    "Version": "NZ",
    "BaseCurrency": "NZD",
    "CountryCode": "NZ",
    "PeriodLockDate": "/Date(1254268800000+0000)/",
    "Timezone": "NEWZEALANDSTANDARDTIME",
    "OrganisationID": "96d8fbb9",
    "TaxNumber": "secret",
}
ACCOUNT = {
    "AccountID": "d1eb",
    "Code": "200",
    "Name": "Sales",
    "Status": "ACTIVE",
    "Type": "REVENUE",
    "Class": "REVENUE",
}
ITEM = {
    "ItemID": "4ddf",
    "Code": "REC",
    "Name": "Recorded",
    "IsSold": True,
    "SalesDetails": {"UnitPrice": Decimal("128.1900"), "AccountCode": "200", "TaxType": "OUTPUT2"},
}


@pytest.mark.parametrize(
    ("kind", "collection", "element", "code", "expected"),
    [
        (
            "ORGANISATION",
            "Organisations",
            ORGANISATION,
            "96d8fbb9",
            {"PeriodLockDate": "2009-09-30", "EndOfYearLockDate": None, "Timezone": "NEWZEALANDSTANDARDTIME"},
        ),
        ("ACCOUNT", "Accounts", ACCOUNT | {"SystemAccount": ""}, "200", {"SystemAccount": None, "CurrencyCode": None}),
        ("ACCOUNT", "Accounts", {"AccountID": "b4nk", "Type": "BANK"}, "b4nk", {"EnablePaymentsToAccount": False}),
        (
            "TAX_RATE",
            "TaxRates",
            {"TaxType": "OUTPUT2", "Name": "n", "EffectiveRate": Decimal("8.2500"), "CanApplyToRevenue": True},
            "OUTPUT2",
            {"EffectiveRate": "8.2500", "CanApplyToRevenue": True, "CanApplyToAssets": False},
        ),
        ("ITEM", "Items", ITEM, "REC", {"SalesUnitPrice": "128.1900", "SalesAccountCode": "200", "IsSold": True}),
        ("ITEM", "Items", {"Code": "X", "ItemID": "i"}, "X", {"SalesUnitPrice": None, "IsSold": False}),
        ("CURRENCY", "Currencies", {"Code": "NZD", "Description": "New Zealand Dollar"}, "NZD", {"Code": "NZD"}),
        (
            "TRACKING",
            "TrackingCategories",
            {
                "Name": "Region",
                "Status": "ACTIVE",
                "Options": [{"TrackingOptionID": "o", "Name": "North", "Status": "ACTIVE"}],
            },
            "Region",
            {"Options": [{"Name": "North", "Status": "ACTIVE"}]},
        ),
        (
            "CONTACT",
            "Contacts",
            {"ContactID": "c1", "ContactNumber": "", "Name": "Ann", "ContactStatus": "ACTIVE", "Phones": [{}]},
            "c1",
            {"ContactID": "c1", "ContactNumber": None, "EmailAddress": None, "Name": "Ann", "ContactStatus": "ACTIVE"},
        ),
    ],
)
def test_rows_are_trimmed_to_what_is_promised(
    kind: Kind, collection: str, element: dict[str, Any], code: str, expected: dict[str, Any]
) -> None:
    (row,) = digest(one(kind), Answer(200, {}, {collection: [element]}))
    assert (row.kind, row.code) == (kind, code)
    assert {name: row.document[name] for name in expected} == expected
    assert not {"TaxNumber", "Phones", "Description"} & row.document.keys()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500),
        Answer(429, {}, None),
        Answer(200, {}, {"Status": "OK"}),
        Answer(200, {}, None, Doubt.UNREADABLE),
        Answer(0, detail="not connected"),
        Answer(200, {}, {"Accounts": [{"Name": "no id"}]}),
        Answer(200, {}, {"Accounts": [None]}),
    ],
)
def test_an_answer_that_shows_nothing_is_never_taken_for_an_empty_list(answer: Answer) -> None:
    with pytest.raises(ReferenceUnreadable, match="Accounts"):
        digest(one("ACCOUNT"), answer)


def contacts(first: int, count: int, second: int) -> Answer:
    rows = [
        {"ContactID": f"c{n}", "Name": f"n{n}", "UpdatedDateUTC": f"/Date({second * 1000 + 700}+0000)/"}
        for n in range(first, first + count)
    ]
    return Answer(200, {}, {"Contacts": rows})


def test_a_moving_contact_list_is_read_by_cursor_and_by_page_only_within_a_second() -> None:
    call = one("CONTACT")
    second = follow(call, contacts(0, PAGE_SIZE, 1_000_000))
    assert second is not None
    assert second.if_modified_since == since_header(datetime.fromtimestamp(999_999, UTC))
    assert dict(second.query)["page"] == "1"
    third = follow(second, contacts(0, PAGE_SIZE, 1_000_000))  # the same second again: more than a page of them
    assert third is not None
    assert (third.if_modified_since, dict(third.query)["page"]) == (second.if_modified_since, "2")
    fourth = follow(third, contacts(1000, PAGE_SIZE, 1_000_060))
    assert fourth is not None
    assert dict(fourth.query)["page"] == "1"
    assert follow(fourth, contacts(2000, PAGE_SIZE - 1, 1_000_090)) is None
    assert follow(one("ACCOUNT"), Answer(200, {}, {"Accounts": [ACCOUNT] * 2000})) is None
    assert follow(one("CONTACT", SINCE), Answer(304)) is None


def test_only_what_changed_is_published_and_only_whole_kinds_lose_rows() -> None:
    a, b, c = (Row("ACCOUNT", code, {"Code": code}) for code in "abc")
    contact = Row("CONTACT", "c1", {"ContactID": "c1"})
    known = {(row.kind, row.code): row.json for row in (a, b, contact)}
    renamed = Row("ACCOUNT", "b", {"Code": "b", "Name": "new"})
    found = changes(known, [a, renamed, c], ["ACCOUNT"])
    assert found.rows == (renamed, c)
    assert found.gone == ()
    assert changes(known, [a], ["ACCOUNT"]).gone == (("ACCOUNT", "b"),)
    assert changes(known, [], ["CONTACT"]).gone == (("CONTACT", "c1"),)
    assert changes(known, [a], []).gone == ()


def test_records_fit_the_schema_and_the_marker_ends_the_snapshot() -> None:
    codec = Codec(CommittedIds())
    key, value = record("uk", complete({"ACCOUNT": 61}), "s1", SINCE)
    assert key == b"uk|COMPLETE|"
    read = codec.decode(codec.encode("reference", value))
    assert json.loads(read["document"]) == {"counts": {"ACCOUNT": 61}}
    assert (read["kind"], read["snapshot"], read["updated_at"]) == ("COMPLETE", "s1", SINCE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/Date(1254268800000+0000)/", datetime(2009, 9, 30, tzinfo=UTC)),
        ("/Date(1789184814237)/", datetime(2026, 9, 12, 3, 46, 54, 237000, tzinfo=UTC)),
        ("/Date(1254268800000+1300)/", datetime(2009, 9, 30, tzinfo=UTC)),
        ("/Date(-62135596800000+0000)/", datetime(1, 1, 1, tzinfo=UTC)),
        ("2026-09-14", None),
        (None, None),
    ],
)
def test_dates_of_xero(text: str | None, expected: datetime | None) -> None:
    assert instant(text) == expected
    assert day("2026-09-14T00:00:00") == "2026-09-14"


@pytest.mark.parametrize("slug", ["uk", "au", "de"])
def test_a_whole_snapshot_of_the_sandbox(xero_sandbox: SandboxProcess, slug: str) -> None:
    client = sandbox_client(xero_sandbox, slug)
    rows: list[Row] = []
    kinds: set[Kind] = set()
    for first in calls(None):
        call: Call | None = first
        while call is not None:
            answer = client.call(call)
            rows += digest(call, answer)
            call = follow(call, answer)
        kinds.add(kind_of(first))
    by_kind = {kind: [row for row in rows if row.kind == kind] for kind in kinds}
    (organisation,) = by_kind["ORGANISATION"]
    assert organisation.document["BaseCurrency"] == {"uk": "GBP", "au": "AUD", "de": "EUR"}[slug]
    assert any(row.document["SystemAccount"] == "ROUNDING" for row in by_kind["ACCOUNT"])
    assert all(Decimal(row.document["EffectiveRate"]) >= 0 for row in by_kind["TAX_RATE"])
    assert organisation.document["BaseCurrency"] in {row.code for row in by_kind["CURRENCY"]}
    assert server_time(answer) is not None
    known = {(row.kind, row.code): row.json for row in rows}
    assert changes(known, rows, kinds).rows == ()


def test_a_contact_written_since_is_all_that_a_later_read_brings(xero_sandbox: SandboxProcess) -> None:
    client = sandbox_client(xero_sandbox, "au")
    body = b'{"Contacts":[{"Name":"Reference Test 1","ContactNumber":"K13C1","EmailAddress":"r1@example.com"}]}'
    written = client.call(Call("POST", "Contacts", (("summarizeErrors", "false"),), body, idempotency_key="ref-1"))
    assert written.ok
    since = server_time(written)
    (row,) = digest(one("CONTACT", since), client.call(one("CONTACT", since)))
    assert row.document["ContactNumber"] == "K13C1"
    assert row.document["EmailAddress"] == "r1@example.com"
    again = client.call(Call("POST", "Contacts", (("summarizeErrors", "false"),), body, idempotency_key="ref-1"))
    assert again.body["Contacts"][0]["ContactID"] == row.code  # the same bytes and key: Xero's first answer


def sandbox_client(running: SandboxProcess, slug: str) -> XeroClient:
    org = running.organisations[slug]
    identity = Identity(IdentitySettings(f"{running.url}/connect/token"), org["client_id"], org["client_secret"])
    return XeroClient(ClientSettings(running.api_url), CustomConnection(identity))
