"""Looks at an instance's REST service once, for `k2x check --live`: what may be read, and whether its clock fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.kentico.errors import RestError
from connectors.kentico.marks import stamped_at
from connectors.kentico.rest import Row, TableRest
from connectors.kentico.settings import Dialect, InstanceSettings
from connectors.kentico.watched import orders_of

# The first is asked first, and where it fails the others are not asked.
_NEEDED: Mapping[Dialect, tuple[str, ...]] = {
    "XBYK": (
        "commerce.order",
        "commerce.orderitem",
        "commerce.orderaddress",
        "commerce.customer",
        "commerce.orderstatus",
        "commerce.paymentmethod",
        "commerce.shippingmethod",
    ),
    "K13": (
        "ecommerce.order",
        "ecommerce.orderitem",
        "ecommerce.orderaddress",
        "ecommerce.orderstatususer",
        "ecommerce.customer",
        "ecommerce.sku",
        "ecommerce.orderstatus",
        "ecommerce.currency",
        "ecommerce.paymentoption",
        "ecommerce.shippingoption",
        "cms.site",
        "cms.country",
    ),
}
_OPTIONAL: Mapping[Dialect, tuple[str, ...]] = {
    "K13": ("ecommerce.taxclass", "ecommerce.taxclasscountry"),
    "XBYK": ("cms.country",),
}
_WITHOUT = {
    "K13": "tax rates are taken from the orders' sums instead",
    "XBYK": "countries stay unknown, which tax rules may need",
}
_REMEDIES = {
    401: "user or password is wrong (rest.user, rest.password_env)",
    403: "the REST service is off, or the user may not read it (Settings → Integration → REST, Allowed object types)",
    404: "rest.url is not the administration application's /rest",
}
_AHEAD = timedelta(minutes=10)
# From UTC+14 to UTC-12; more is no time zone's doing.
_FURTHEST_ZONES = timedelta(hours=26)


@dataclass(frozen=True)
class Sight:
    """`level`: ok, warning or error."""

    level: str
    text: str


async def look(rest: TableRest, instance: InstanceSettings, clock: Callable[[], datetime]) -> list[Sight]:
    """What there is to say, the worst first."""
    found: list[Sight] = []
    orders = orders_of(instance.dialect)
    needed, optional = _NEEDED[instance.dialect], _OPTIONAL[instance.dialect]
    for object_type in (*needed, *optional):
        try:
            await rest.top(object_type, 1)
        except RestError as error:
            remedy = _REMEDIES.get(error.status or 0)
            text = f"{object_type} answered {error.status}: {remedy}" if remedy else str(error)
            if object_type in optional:
                found.append(Sight("warning", f"{text}; {_WITHOUT[instance.dialect]}"))
            else:
                found.append(Sight("error", text))
            if object_type == orders.object_type:
                return found
    rows = await rest.top(orders.object_type, 1, columns=orders.columns, orderby=f"{orders.stamp} DESC")
    found += _clocks(rows, instance, rest.server_time(), clock())
    return found or [Sight("ok", f"all {len(needed) + len(optional)} types can be read")]


def _clocks(rows: list[Row], instance: InstanceSettings, server: datetime | None, now: datetime) -> list[Sight]:
    """A stamp that lies ahead of the server's own clock was read in a wrong time zone."""
    newest = stamped_at(rows[0], orders_of(instance.dialect), instance.zone, now + timedelta(days=1)) if rows else None
    if newest is None or newest <= (server or now) + _AHEAD:
        return []
    ahead = newest - (server or now)
    if ahead > _FURTHEST_ZONES:
        order = rows[0].get(orders_of(instance.dialect).key)
        text = (
            f"order {order} was modified on {newest:%Y-%m-%d}, which is {ahead.days:,} day(s) in the future: such "
            "orders are refused until they are saved in Kentico again"
        )
        return [Sight("warning", text)]
    text = (
        f"the newest order was modified {ahead.total_seconds() / 3600:.1f} h in the future: time_zone "
        f"{instance.time_zone} is not the one of Kentico's web server"
    )
    return [Sight("error", text)]
