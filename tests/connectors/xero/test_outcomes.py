"""Every message of reference/xero.md §5 has a row, and what no row knows goes to a person."""

from __future__ import annotations

import pytest

from connectors.xero.calls import Answer, Doubt
from connectors.xero.outcomes import ZERO_ID, Course, Remedy, course, judge, read

MESSAGES = [
    ("Invoice # must be unique.", Remedy.LOOK_UP, "conflict"),
    ("The contact name X is already assigned to another contact. The contact name must be unique across all active "
     "contacts.", Remedy.RENAME, "conflict"),
    ("Another contact has this contact number. Please enter a different contact number.", Remedy.REFUSE, "conflict"),
    ("Price List Item with Code 'abc' already exists", Remedy.REFUSE, "conflict"),
    ("Payment amount exceeds the amount outstanding on this document", Remedy.LOOK_UP, "conflict"),
    ("Payments can only be made against Authorised documents", Remedy.LOOK_UP, "conflict"),
    ("Account code '999' is not a valid code for this document.", Remedy.REFUSE, "mapping"),
    ("Account code 'X' has been archived, or has been deleted. Each line item must reference a valid account.",
     Remedy.REFUSE, "mapping"),
    ("The TaxType code 'OUTPUT' cannot be used with account code '800'.", Remedy.REFUSE, "mapping"),
    ("Item code 'X' is not valid", Remedy.REFUSE, "mapping"),
    ("The Contact must contain at least 1 of the following elements to identify the contact: Name, ContactID, "
     "ContactNumber", Remedy.REFUSE, "bug"),
    ("The contact with the specified contact details has been archived. The contact must be un-archived before "
     "creating new invoices or credit notes", Remedy.CONTACT, "validation"),
    ("The specified contact details matched an archived contact. Archived contacts cannot currently be edited via the "
     "API.", Remedy.CONTACT, "validation"),
    ("The document date cannot be before the end of year lock date, currently set at 31 March 2026", Remedy.REFUSE,
     "locked_period"),
    ("The document date cannot be before the period lock date, currently set at 31 March 2026", Remedy.REFUSE,
     "locked_period"),
    ("Organisation is not subscribed to currency EUR", Remedy.REFUSE, "plan"),
    ("You have reached the limit of invoices you can approve", Remedy.REFUSE, "plan"),
    ("Invoice not of valid status for modification", Remedy.LOOK_UP, "conflict"),
    ("This document cannot be edited as it has a payment or credit note allocated to it.", Remedy.REFUSE, "conflict"),
    ("Email address must be valid.", Remedy.DROP_EMAIL, "validation"),
    ("The line total 9.99 does not match the expected line total 10.00", Remedy.REFUSE, "bug"),
    ("The document with the supplied id was not found for this endpoint.", Remedy.LOOK_UP, "conflict"),
    ("Account could not be found.", Remedy.REFUSE, "mapping"),
    ("Something new that nobody has seen", Remedy.REFUSE, "validation"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "remedy", "error_class"), MESSAGES)
def test_a_message_has_its_remedy(message: str, remedy: Remedy, error_class: str) -> None:
    found, refusal = judge([message])
    assert (found, str(refusal.error_class)) == (remedy, error_class)
    assert message in refusal.message
    assert len(refusal.hint) > 20


def test_already_there_decides_and_a_remedy_needs_every_message() -> None:
    assert judge(["Account could not be found.", "Invoice # must be unique."])[0] is Remedy.LOOK_UP
    name = "The contact name X is already assigned to another contact."
    assert judge([name, "Email address must be valid."])[0] is Remedy.RENAME
    assert judge([name, "no idea"])[0] is Remedy.REFUSE


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, body={}), Course.READ),
        (Answer(304), Course.READ),
        (Answer(401), Course.KEPT_OUT),
        (Answer(403), Course.KEPT_OUT),
        (Answer(429), Course.LIMITED),
        (Answer(0), Course.NOT_SENT),
        (Answer(503), Course.OFFLINE),
        (Answer(500), Course.OFFLINE),
        (Answer(500, doubt=Doubt.SERVER_ERROR), Course.LOOK),
        (Answer(0, doubt=Doubt.TIMEOUT), Course.UNCLEAR),
        (Answer(0, doubt=Doubt.DROPPED), Course.UNCLEAR),
        (Answer(200, doubt=Doubt.UNREADABLE), Course.UNCLEAR),
        (Answer(404), Course.SPLIT),
        (Answer(400, body={"Message": "x"}), Course.SPLIT),
        (Answer(400, detail="Idempotency Key: k is used with a different request."), Course.LOOK),
        (Answer(400, body={"Elements": [{}]}), Course.LOOK),
    ],
)
def test_an_answer_has_its_course(answer: Answer, expected: Course) -> None:
    assert course(answer) is expected


def test_success_is_a_real_id_and_no_error() -> None:
    assert read({"InvoiceID": "1", "HasErrors": False}, "InvoiceID").good
    assert not read({"InvoiceID": ZERO_ID}, "InvoiceID").good
    assert not read({"PaymentID": None, "HasValidationErrors": False}, "PaymentID").good
    assert not read({"InvoiceID": "1", "StatusAttributeString": "ERROR"}, "InvoiceID").good
    nested = {"InvoiceID": "1", "Contact": {"ValidationErrors": [{"Message": "archived"}]}}
    assert read(nested, "InvoiceID").errors == ("archived",)


def test_a_lost_account_code_is_seen_among_the_warnings() -> None:
    text = "Account code '476' has been removed as it does not match a recognised account."
    element = read({"InvoiceID": "1", "LineItems": [{"Warnings": [{"Message": text}]}]}, "InvoiceID")
    assert element.good
    assert element.lost_account == text
