"""What `k2x check --live` says of a Kentico: types that may not be read, and a time zone that does not fit."""

from __future__ import annotations

import pytest

from connectors.kentico.look import Sight, look
from connectors.kentico.rest import KenticoRest
from connectors.kentico.sandbox.rest import Fault
from connectors.kentico.sandbox.schema import ORDER
from connectors.kentico.sandbox.server import Sandbox
from tests.connectors.kentico.conftest import utc_now
from tests.connectors.kentico.rig import instance


async def looked(sandbox: Sandbox, **changes: object) -> list[Sight]:
    known = instance(sandbox, "emea")
    known = known.model_copy(update=changes)
    assert known.rest is not None
    rest = KenticoRest("emea", known.rest.model_copy(update={"attempts": 1}))
    try:
        return await look(rest, known, utc_now)
    finally:
        await rest.close()


async def test_all_is_well(sandbox: Sandbox) -> None:
    sandbox.shops["emea"].place("plain", "GoatUK", 1, None)
    assert await looked(sandbox) == [Sight("ok", "all 14 types can be read")]


@pytest.mark.parametrize(
    ("match", "level", "said"),
    [
        ("ecommerce.order/", "error", "ecommerce.order answered 401: user or password is wrong"),
        ("ecommerce.sku", "error", "ecommerce.sku answered 401"),
        ("taxclasscountry", "warning", "tax rates are taken from the orders' sums"),
    ],
)
async def test_what_may_not_be_read_is_named(sandbox: Sandbox, match: str, level: str, said: str) -> None:
    sandbox.rest.faults.append(Fault("unauthorized", match=match))
    (sight,) = await looked(sandbox)
    assert sight.level == level
    assert said in sight.text


@pytest.mark.parametrize(("zone", "fits"), [("Europe/London", True), ("America/New_York", False)])
async def test_a_time_zone_that_puts_orders_into_the_future_is_an_error(
    sandbox: Sandbox, zone: str, fits: bool
) -> None:
    sandbox.shops["emea"].place("plain", "GoatUK", 1, None)
    (sight,) = await looked(sandbox, time_zone=zone)
    assert (sight.level == "ok") is fits
    assert fits or f"time_zone {zone} is not the one of Kentico's web server" in sight.text


async def test_a_stamp_of_the_far_future_is_that_orders_fault_and_no_time_zones(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    odd = shop.place("plain", "GoatUK", 1, None)
    shop.database.update(ORDER, odd, {"OrderLastModified": "2099-01-01T00:00:00.0000000"})
    (sight,) = await looked(sandbox)
    assert sight.level == "warning"
    assert f"order {odd} was modified on 2099-01-01" in sight.text


async def test_an_address_where_nothing_answers_is_said_once(sandbox: Sandbox) -> None:
    known = instance(sandbox, "emea").rest
    assert known is not None
    (sight,) = await looked(sandbox, rest=known.model_copy(update={"url": "http://127.0.0.1:9/rest"}))
    assert (sight.level, "Is http://127.0.0.1:9/rest up?" in sight.text) == ("error", True)
