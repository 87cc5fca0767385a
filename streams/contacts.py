"""Customers → contact commands, one for each organisation that the customer's instance feeds.

The commands say "only if known": a customer who never bought is no contact. Guarantee: as streams/master_data.py.
"""

from __future__ import annotations

from datetime import datetime

from schemas.types import CustomerChanged
from streams.flow import Made, StoreFlow
from streams.master_data import MasterData


class Contacts(MasterData[CustomerChanged]):
    agent = "contacts"
    kind = "contact"

    def make(self, flow: StoreFlow, change: CustomerChanged, now: datetime) -> Made:
        return flow.contact(change, now)

    def id_of(self, change: CustomerChanged) -> int:
        return change["customer"]["CustomerID"]
