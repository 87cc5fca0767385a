"""Xero's time zones: Windows names without spaces (GMTSTANDARDTIME), mapped by the CLDR table that tzlocal carries."""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tzlocal.windows_tz import win_tz


def _squeezed(name: str) -> str:
    return "".join(letter for letter in name.upper() if letter.isalnum() or letter in "+-")


@cache
def _table() -> dict[str, str]:
    return {_squeezed(windows): iana for windows, iana in win_tz.items()}


def named(iana: str) -> ZoneInfo | None:
    """The zone of an IANA name."""
    try:
        return ZoneInfo(iana)
    except (ZoneInfoNotFoundError, ValueError):
        return None


def zone_of(xero_name: str) -> ZoneInfo | None:
    """The zone of Organisation.Timezone; None if the name is not known."""
    iana = _table().get(_squeezed(xero_name))
    return named(iana) if iana else None
