"""What an answer of Xero's means, as tables: statuses → what to do with the call, messages → with a document.

Texts are not contractual, so they are matched by their stable parts; what no row knows goes to a person, never in
circles and never into silence (xero.md §5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from connectors.xero.calls import Answer, Doubt
from connectors.xero.core.state import Refusal
from schemas.letters import ErrorClass

ZERO_ID = "00000000-0000-0000-0000-000000000000"


class Course(StrEnum):
    """What to do with a call."""

    READ = "read"  # element by element
    LIMITED = "limited"  # 429: nothing was done, and it was nobody's fault; the budget knows when
    NOT_SENT = "not_sent"  # no byte left: Xero cannot be reached
    KEPT_OUT = "kept_out"  # 401 after a new token, 403: the lane pauses until a person has mended the connection
    OFFLINE = "offline"  # Xero or a gateway is down: the same bytes again, soon
    UNCLEAR = "unclear"  # committed or not: the same bytes under the same key while Xero remembers it
    LOOK = "look"  # the key is of no more use (its answer is kept): read back
    SPLIT = "split"  # one document spoils the request: halve until it is alone


_STATUS: Mapping[int, Course] = {
    0: Course.NOT_SENT,
    304: Course.READ,
    401: Course.KEPT_OUT,
    403: Course.KEPT_OUT,
    408: Course.OFFLINE,
    425: Course.OFFLINE,
    429: Course.LIMITED,
    500: Course.OFFLINE,  # of a read; of a write it comes with a doubt
    502: Course.OFFLINE,
    503: Course.OFFLINE,
    504: Course.OFFLINE,
}
_DOUBT: Mapping[Doubt, Course] = {
    Doubt.TIMEOUT: Course.UNCLEAR,
    Doubt.DROPPED: Course.UNCLEAR,
    Doubt.UNREADABLE: Course.UNCLEAR,  # the replay under the same key shows the true answer
    Doubt.SERVER_ERROR: Course.LOOK,  # Xero keeps a 500 under the key and only repeats it
}
_KEY_MISUSED = re.compile(r"idempotency.key.*(different request|maximum length)", re.IGNORECASE)


def course(answer: Answer, *, one: bool = False) -> Course:
    """The row for an answer. Statuses that no row knows are about the request: SPLIT finds the document. `one`: it was
    a write of one document that knows no summarizeErrors, so what a 400 lists is all of it."""
    if answer.doubt is not None:
        return _DOUBT[answer.doubt]
    if 200 <= answer.status < 300:
        return Course.READ
    if answer.status == 400 and (_KEY_MISUSED.search(answer.detail) or _listed(answer)):
        return Course.READ if one and _listed(answer) else Course.LOOK
    return _STATUS.get(answer.status, Course.SPLIT)


def _listed(answer: Answer) -> bool:
    """A 400 that lists failures has created the others without telling their ids (xero.md §0.5)."""
    return isinstance(answer.body, dict) and bool(answer.body.get("Elements"))


class Remedy(StrEnum):
    """What to do with a refused document."""

    LOOK_UP = "look_up"  # it may be there already
    RENAME = "rename"  # the contact's name is taken: Name (ContactNumber)
    DROP_EMAIL = "drop_email"  # leave the e-mail out, with a finding
    CONTACT = "contact"  # see what has become of the contact: merged, it is followed
    REFUSE = "refuse"  # a person has to act


@dataclass(frozen=True)
class Rule:
    """One known message."""

    pattern: re.Pattern[str]
    remedy: Remedy
    error_class: ErrorClass
    code: str
    hint: str


def _rule(pattern: str, remedy: Remedy, error_class: ErrorClass, code: str, hint: str) -> Rule:
    return Rule(re.compile(pattern, re.IGNORECASE), remedy, error_class, code, hint)


_OPEN = "then `k2x dlt redrive`"
_MAPPING, _VALIDATION, _CONFLICT = ErrorClass.MAPPING, ErrorClass.VALIDATION, ErrorClass.CONFLICT

UNARCHIVE = f"Un-archive the contact in Xero, {_OPEN}."

# In the order of reference/xero.md §5. Earlier rows win where several messages came.
RULES: tuple[Rule, ...] = (
    _rule(r"(invoice|credit note) # must be unique", Remedy.LOOK_UP, _CONFLICT, "number_taken",
          f"Another document in Xero has this number and is not this order: rename or void it there, {_OPEN}."),
    _rule(r"contact name .* is already assigned to another contact", Remedy.RENAME, _CONFLICT, "contact_name_taken",
          f"Two contacts in Xero have this customer's name and number: rename one there, {_OPEN}."),
    _rule(r"another contact has this contact number", Remedy.REFUSE, _CONFLICT, "contact_number_taken",
          f"An archived or merged contact in Xero has this ContactNumber: free it there, {_OPEN}."),
    _rule(r"price list item with code .* already exists", Remedy.REFUSE, _CONFLICT, "item_exists",
          f"The item is in Xero in another form: compare both, {_OPEN}."),
    _rule(r"payment amount exceeds the amount outstanding", Remedy.LOOK_UP, _CONFLICT, "payment_exceeds_due",
          f"Somebody has paid, credited or changed this invoice in Xero: delete the foreign payment there, {_OPEN}; "
          "or leave it, if the invoice is rightly paid."),
    _rule(r"payments can only be made against authorised documents", Remedy.LOOK_UP, _CONFLICT, "invoice_not_open",
          f"The invoice has been voided or set back in Xero: restore it or release the order, {_OPEN}."),
    _rule(r"account code .* is not a valid code for this document", Remedy.REFUSE, _MAPPING, "account_invalid",
          f"Correct the account in the rules, or the account's type in Xero, {_OPEN}."),
    _rule(r"account code .* has been (archived|removed)", Remedy.REFUSE, _MAPPING, "account_archived",
          f"Restore the account in Xero or name another in the rules, {_OPEN}."),
    _rule(r"taxtype code .* (cannot be used|does not exist)", Remedy.REFUSE, _MAPPING, "tax_type_invalid",
          f"Correct the tax rule, or the account's tax settings in Xero, {_OPEN}."),
    _rule(r"item code .* is not valid", Remedy.REFUSE, _MAPPING, "item_unknown",
          f"Create the item in Xero, or set the rule unknown_item: line_without_item, {_OPEN}."),
    _rule(r"contact must contain at least 1 of the following", Remedy.REFUSE, ErrorClass.BUG, "contact_unidentified",
          "Report this: k2x sent a contact without name or number."),
    _rule(r"contact .*has been archived|matched an archived contact", Remedy.CONTACT, _VALIDATION, "contact_archived",
          UNARCHIVE),
    _rule(r"(end of year|period) lock date|locked period", Remedy.REFUSE, ErrorClass.LOCKED_PERIOD, "locked_period",
          f"The books are closed at this date: open the period in Xero, or set the rule for locked periods, {_OPEN}."),
    _rule(r"not subscribed to currency", Remedy.REFUSE, ErrorClass.PLAN, "currency_missing",
          f"Add the currency in Xero (multi-currency is a plan feature), {_OPEN}."),
    _rule(r"limit of invoices you can approve", Remedy.REFUSE, ErrorClass.PLAN, "invoice_limit",
          f"Xero's plan approves no more invoices this month: change the plan, {_OPEN}."),
    _rule(r"invoice not of valid status for modification", Remedy.LOOK_UP, _CONFLICT, "invoice_not_open",
          f"The number belongs to a voided or deleted invoice: rename that one in Xero, {_OPEN}."),
    _rule(r"cannot be edited as it has a payment or credit note", Remedy.REFUSE, _CONFLICT, "invoice_settled",
          f"Undo the payment or credit in Xero, {_OPEN}."),
    _rule(r"email address must be valid", Remedy.DROP_EMAIL, _VALIDATION, "email_invalid",
          f"Correct the customer's e-mail in Kentico, {_OPEN}."),
    _rule(r"line total .* does not match the expected line total", Remedy.REFUSE, ErrorClass.BUG, "line_total",
          "Report this: k2x and Xero compute a line differently."),
    _rule(r"document with the supplied id was not found", Remedy.LOOK_UP, _CONFLICT, "document_missing",
          f"The invoice has been deleted in Xero: restore it or release the order, {_OPEN}."),
    _rule(r"account could not be found", Remedy.REFUSE, _MAPPING, "account_unknown",
          f"Correct the payment account in the rules, {_OPEN}."),
    _rule(r"account cannot be used for payments|payments? .*account", Remedy.REFUSE, _MAPPING, "payment_account",
          f"Use an account of type BANK, or enable payments to it in Xero, {_OPEN}."),
    _rule(r"currency of the account does not match", Remedy.REFUSE, _MAPPING, "payment_currency",
          f"Name a payment account in the order's currency in the rules, {_OPEN}."),
    _rule(r"must be a string with a maximum length|maximum length", Remedy.REFUSE, _VALIDATION, "too_long",
          f"Shorten the field in Kentico, {_OPEN}."),
)  # fmt: skip
UNKNOWN = Rule(
    re.compile(""),
    Remedy.REFUSE,
    ErrorClass.VALIDATION,
    "xero_refused",
    f"k2x does not know this message: read Xero's own words, mend what they name, {_OPEN}.",
)
# The document is saved all the same, but its account is not what was sent (xero.md §5 row 9).
LOST_ACCOUNT = re.compile(r"has been removed as it does not match a recognised account", re.IGNORECASE)


@dataclass(frozen=True)
class Element:
    """One element of an answer, read: `id` None where there is none or the zero GUID."""

    id: str | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    body: Mapping[str, Any]

    @property
    def good(self) -> bool:
        """Success is a real id and no error; either alone has been seen to lie (xero.md §1.6)."""
        return self.id is not None and not self.errors

    @property
    def lost_account(self) -> str | None:
        return next((text for text in self.warnings if LOST_ACCOUNT.search(text)), None)


def read(body: Mapping[str, Any], id_name: str) -> Element:
    """An element of a write's answer."""
    found = str(body.get(id_name) or "")
    told: dict[str, list[str]] = {"ValidationErrors": [], "Warnings": []}
    _messages(body, told)
    errors = tuple(dict.fromkeys(told["ValidationErrors"]))
    flagged = body.get("StatusAttributeString") == "ERROR" or body.get("HasErrors") or body.get("HasValidationErrors")
    if flagged and not errors:
        errors = ("Xero refused this document without a message.",)
    return Element(
        id=found if found and found != ZERO_ID else None,
        errors=errors,
        warnings=tuple(dict.fromkeys(told["Warnings"])),
        body=body,
    )


def judge(errors: Iterable[str]) -> tuple[Remedy, Refusal]:
    """What to do with a refused document, and what a person would be told. A message that says "already there" decides;
    else a remedy counts only if every message has one."""
    texts = list(errors)
    matched = [next((rule for rule in RULES if rule.pattern.search(text)), UNKNOWN) for text in texts] or [UNKNOWN]
    rule = min(matched, key=lambda r: (r.remedy is not Remedy.LOOK_UP, r.remedy is not Remedy.REFUSE, _rank(r)))
    return rule.remedy, Refusal(rule.error_class, rule.code, "Xero: " + "; ".join(texts), rule.hint)


def whole_refusal(answer: Answer) -> Refusal:
    """A request of one document that Xero refuses as a whole."""
    if answer.status == 404:
        text = "Xero answered 404 to this document alone: something it names does not exist there."
        hint = f"Look for a deleted or merged contact in Xero, {_OPEN}."
        return Refusal(ErrorClass.CONFLICT, "not_found", text, hint)
    text = f"Xero answered {answer.status} to this document alone: {answer.detail or 'no reason given'}"
    return Refusal(ErrorClass.BUG, f"http_{answer.status}", text, "Report this with the dead letter: `k2x dlt show`.")


def _rank(rule: Rule) -> int:
    return RULES.index(rule) if rule in RULES else len(RULES)


def _messages(node: Mapping[str, Any], told: dict[str, list[str]]) -> None:
    """Messages may sit in nested contacts and lines: walk the tree."""
    for key, value in node.items():
        if isinstance(value, list):
            if key in told:
                told[key] += (str(one.get("Message", "")) for one in value if isinstance(one, Mapping))
            for one in value:
                if isinstance(one, dict):
                    _messages(one, told)
        elif isinstance(value, dict):
            _messages(value, told)
