"""A customer's change → the contact's, where he is one already. Pure."""

from __future__ import annotations

from schemas.types import Command, CustomerChanged
from streams.transform import command
from streams.transform import contact as contacts
from streams.transform.context import Store
from streams.transform.errors import Suppress


def contact_command(changed: CustomerChanged, store: Store) -> Command:
    """The command, `only_if_known`. Suppress says why there is none."""
    who = f"customer {changed['customer']['CustomerID']} of {changed['instance']}"
    rules = store.rules.contacts
    if changed["deleted"]:
        raise Suppress("deleted", f"{who} was deleted in Kentico; the contact stays, it has invoices")
    if rules.mode == "one_per_store":
        raise Suppress("one_contact_per_store", f"{who}: the store's sales all are one contact's")
    if not rules.updates:
        raise Suppress("updates_off", f"{who}: the rule contacts.updates is off")
    findings: list[str] = []
    made = contacts.of_customer(store, changed["customer"], changed["addresses"], findings, only_if_known=True)
    made["version"] = changed["version"]
    return command.envelope(changed, store, "CONTACT", made["key"], made, findings=findings)
