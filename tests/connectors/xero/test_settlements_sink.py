"""Settlements through the whole sink: real Kafka, the Xero sandbox, lost answers."""

from __future__ import annotations

import pytest

from connectors.xero.auth import SETTLEMENT_SCOPES, CustomConnection, Identity, IdentitySettings
from connectors.xero.calls import Call
from connectors.xero.client import ClientSettings, XeroClient
from schemas.types import Command
from tests.connectors.xero.commands import settlement
from tests.connectors.xero.office import Office, until

pytestmark = pytest.mark.kafka


def _client(office: Office) -> XeroClient:
    """With the scope that only settlements need."""
    found, url = office.sandbox.organisations["uk"], office.sandbox.url
    identity = Identity(IdentitySettings(token_url=f"{url}/connect/token"), found["client_id"], found["client_secret"])
    return XeroClient(ClientSettings(api_url=office.sandbox.api_url), CustomConnection(identity, SETTLEMENT_SCOPES))


def _settlements(office: Office) -> list[Command]:
    """Of this test alone: the sandbox is shared."""
    client = _client(office)
    rows = client.call(Call("GET", "Accounts")).body["Accounts"]
    client.close()
    ids = {row["Code"]: row["AccountID"] for row in rows if row.get("Code")}
    return [settlement(f"{office.slug}-{n}", clearing=ids["092"], bank=ids["090"]) for n in range(3)]


def test_answers_that_are_lost_after_the_commit_leave_one_of_each(office: Office) -> None:
    """A 500 after the commit is not repeated: the day is looked at, whole, and what is there is adopted."""
    for path in ("BankTransactions", "BankTransfers"):
        office.side_door("faults", {"kind": "500_after", "method": "PUT", "path": path})
        office.side_door("faults", {"kind": "drop_after", "method": "PUT", "path": path, "nth": 2})
    office.put(*_settlements(office))
    with office.sink(client=lambda org: _client(office)):
        until(lambda: [r["outcome"] for r in office.results() if r["kind"] == "settlement"].count("POSTED") == 3)
    books = office.side_door("books/uk")
    spent = [one for one in books["bank_transactions"] if f"shop/stripe/{office.slug}" in one["Reference"]]
    moved = [one for one in books["bank_transfers"] if f"shop/stripe/{office.slug}" in one["Reference"]]
    assert sorted(one["Type"] for one in spent) == ["RECEIVE-TRANSFER"] * 3 + ["SPEND"] * 3 + ["SPEND-TRANSFER"] * 3
    assert [one["Amount"] for one in moved] == [96.9] * 3
    kinds = [(r["kind"], r["outcome"]) for r in office.results() if r["kind"].startswith("bank_")]
    assert ("bank_transaction", "ADOPTED") in kinds
    assert ("bank_transfer", "ADOPTED") in kinds
    assert office.letters() == 0
