"""A gateway pays out every shop of the coverage run: by an event where one can be told, and by a file."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from connectors.kentico.sandbox import payload
from k2x.cli import main
from tests.e2e.coverage import SITE, TELLING, Coverage, Source

FEES = "3.10"
_PAID_AT = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
_HEAD = "settlement_id,currency,paid_at,payout,type,amount,fee,order_id"


async def pay_out(coverage: Coverage) -> None:
    """Each shop gets two settlements, or one where it can tell of none; each file is brought in twice."""
    for source in coverage.sources.values():
        if source.name in TELLING:
            await _tell(coverage, source, _event(source))
        file = coverage.home / f"{source.name}.csv"
        told = settlement(source, "file")
        (line,) = told["lines"]
        row = (*(told[name] for name in ("settlementId", "currency", "paidAt", "payout")), *line.values())
        file.write_text(f"{_HEAD}\n{','.join(row)}\n", "utf-8")
        for new in (1, 0):
            said = json.loads(await asyncio.to_thread(_import, coverage.home / "k2x.yaml", source.name, file))
            assert (len(said["new"]), said["known"], said["sent"]) == (new, 1 - new, True), said


def settlement(source: Source, how: str) -> dict[str, Any]:
    """One order's money, less the gateway's fee."""
    order = source.orders["paid"]
    total = Decimal(source.shop.database.truth(order)["total_price"])
    return {
        "settlementId": f"po-{how}", "gateway": "stripe", "currency": "GBP", "paidAt": _PAID_AT,
        "payout": str(total - Decimal(FEES)),
        "lines": [{"type": "charge", "amount": str(total), "fee": FEES, "orderId": str(order)}],
    }  # fmt: skip


def booked(source: Source, how: str, books: dict[str, Any]) -> bool:
    """Whether its fees and its payout are in Xero, each once."""
    wanted = settlement(source, how)
    marker = f"{source.name}/stripe/{wanted['settlementId']} "
    spent = [r for r in books["bank_transactions"] if r["Type"] == "SPEND" and r["Reference"].startswith(marker)]
    moved = [row for row in books["bank_transfers"] if row["Reference"].startswith(marker)]
    amounts = [[f"{row['Total']:.2f}" for row in spent], [f"{row['Amount']:.2f}" for row in moved]]
    return amounts == [[FEES], [wanted["payout"]]]


async def listed(coverage: Coverage) -> dict[str, str]:
    """What `k2x settlements ls` says became of each: marker → outcome."""
    said = json.loads(await asyncio.to_thread(_k2x, coverage.home / "k2x.yaml", "ls", "--json"))
    return {f"{row['instance']}/{row['settlement']}": row["outcome"] for row in said}


def _event(source: Source) -> dict[str, Any]:
    catalogue, sequence = source.shop.catalogue, source.shop.database.take("shop.outbox")
    return payload.event(
        catalogue, SITE, "settlement.paid", "gateway.settlement", 1, None, datetime.now(UTC), sequence=sequence,
        event_id=f"payout-{source.name}", data={"settlement": settlement(source, "event")},
    )  # fmt: skip


async def _tell(coverage: Coverage, source: Source, event: dict[str, Any]) -> None:
    if source.name != "outbox":
        await coverage.post(source.name, event)
        return
    with source.shop.database.transaction():
        source.shop.database.post(
            event["sequence"], "events", event["eventId"], event["eventType"], 1, json.dumps(event)
        )


def _import(config: Path, instance: str, file: Path) -> str:
    where = ("--instance", instance, "--gateway", "stripe", "--site", SITE)
    return _k2x(config, "import", str(file), *where, "--json")


def _k2x(config: Path, *arguments: str) -> str:
    """The JSON of `k2x settlements …`, as a person would run it."""
    done = CliRunner().invoke(main, ["settlements", *arguments, "--config", str(config)])
    assert done.exit_code == 0, done.output
    # Others of this process log meanwhile.
    return next(one for one in done.stdout.splitlines() if one.startswith(("{", "[{")))
