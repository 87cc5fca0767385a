"""The orders that polling has brought, as bits by OrderID and site, pure: what is deleted or was missed shows by them.

A hundred thousand orders of a site take 12 kB, less when compressed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

# 50 kB a site: five sites fit into one Kafka record. A shop of 10,000 orders a day is watched for five weeks.
MOST = 400_000


class KnownOrders:
    """Orders above `floor`; those up to it are not watched."""

    def __init__(self, floor: int, sites: Mapping[str, bytes] | None = None) -> None:
        self.floor = floor
        self._sites: dict[str, bytearray] = {name: bytearray(zlib.decompress(b)) for name, b in (sites or {}).items()}

    def add(self, order_id: int, site: str | None) -> None:
        """The order is on Kafka."""
        bit = order_id - self.floor - 1
        if bit < 0:
            return
        if bit >= 2 * MOST:
            self._raise_floor(order_id - MOST)
            bit = order_id - self.floor - 1
        bits = self._sites.setdefault(site or "", bytearray())
        if bit >= 8 * len(bits):
            bits.extend(bytes(bit // 8 + 1 - len(bits)))
        bits[bit // 8] |= 1 << bit % 8

    def discard(self, order_id: int) -> None:
        """The order is deleted, and that is on Kafka."""
        bit = order_id - self.floor - 1
        for bits in self._sites.values():
            if 0 <= bit < 8 * len(bits):
                bits[bit // 8] &= ~(1 << bit % 8)

    def site_of(self, order_id: int) -> str | None:
        """The site of a known order, empty where it has none; None: the order is not known."""
        bit = order_id - self.floor - 1
        found = (n for n, b in self._sites.items() if 0 <= bit < 8 * len(b) and b[bit // 8] >> bit % 8 & 1)
        return next(found, None)

    def __contains__(self, order_id: int) -> bool:
        return self.site_of(order_id) is not None

    @property
    def last(self) -> int:
        """The highest known order; `floor` where there is none."""
        highest = (int.from_bytes(bits, "little").bit_length() for bits in self._sites.values())
        return self.floor + max(highest, default=0)

    def count(self, first: int, last: int) -> int:
        """How many are known from `first` to `last`."""
        return sum(self._slice(bits, first, last).bit_count() for bits in self._sites.values())

    def ids(self, first: int, last: int) -> Iterator[int]:
        """The known ones from `first` to `last`, rising."""
        found = 0
        for bits in self._sites.values():
            found |= self._slice(bits, first, last)
        start = max(first, self.floor + 1)
        while found:
            low = found & -found
            yield start + low.bit_length() - 1
            found ^= low

    def packed(self) -> dict[str, bytes]:
        """The bits of each site, compressed."""
        return {name: zlib.compress(bytes(bits), 1) for name, bits in self._sites.items()}

    def _slice(self, bits: bytearray, first: int, last: int) -> int:
        low, high = max(first - self.floor - 1, 0), last - self.floor
        if high <= low:
            return 0
        whole = int.from_bytes(bits[low // 8 : (high + 7) // 8], "little") >> low % 8
        return whole & ((1 << (high - low)) - 1)

    def _raise_floor(self, floor: int) -> None:
        """Let go of the oldest."""
        drop = (floor - self.floor) // 8
        self._sites = {name: bits[drop:] for name, bits in self._sites.items()}
        self.floor += 8 * drop
