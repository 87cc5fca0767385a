"""What goes through the scratch file comes out as it was: exact decimals, microseconds, nested records."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from k2x.audit.documents import Invoice
from k2x.audit.packing import Packing
from tests.k2x.audit import files

ODD = datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        files.seen(total="24.000000001", version=0, currency=None, ordered_at=None),
        replace(files.seen(), version=ODD, observed_at=ODD.astimezone(timezone(timedelta(hours=2)))),
        files.command(date=None),
        files.command(),
        files.letter(None),
        files.result("POSTED", received_at=None),
        files.entry(intended_at=ODD, total=None),
        files.hint(),
        files.invoice(),
        files.invoice(payments=(), sums=(), date=None, updated_at=None),
        files.listed(amount=Decimal("1E+2")),
    ],
)
def test_a_fact_comes_back_equal(value: Any) -> None:
    packing = Packing(type(value))
    assert packing.unpack(packing.pack(value)) == value


def test_a_decimal_keeps_its_digits() -> None:
    packing = Packing(Invoice)
    assert str(packing.unpack(packing.pack(files.invoice(total=Decimal("1.10")))).total) == "1.10"
