"""Products → item commands, one for each organisation that the product's instance feeds.

The commands say "only if known" unless the rules keep every product as an item. Guarantee: as streams/master_data.py.
"""

from __future__ import annotations

from datetime import datetime

from schemas.types import ProductChanged
from streams.flow import Made, StoreFlow
from streams.master_data import MasterData


class Items(MasterData[ProductChanged]):
    agent = "items"
    kind = "item"

    def make(self, flow: StoreFlow, change: ProductChanged, now: datetime) -> Made:
        return flow.item(change, now)

    def id_of(self, change: ProductChanged) -> int:
        return change["SKUID"]
