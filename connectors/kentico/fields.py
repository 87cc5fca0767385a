"""Column values to Python values, pure: one converter per kind. What does not fit raises BadValue.

Every converter takes the value and a function for times, so that a table of columns can be read by one loop.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, cast

import orjson

from connectors.kentico.errors import BadValue, FieldError

Moment = Callable[[object], datetime]
Convert = Callable[[Any, Moment], Any]
Columns = Mapping[str, Convert]

# decimal(18,9) has nine digits on either side; zeros beyond say nothing.
_MONEY = re.compile(r"(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)(0*)")
_SUMMED = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,30})?")
_MONEY_END = Decimal(10) ** 9
_NANO = Decimal("1e-9")
_QUANTITY = re.compile(r"(-?[0-9]{1,15}(?:\.[0-9]{1,4})?)(0*)")
_GUID = re.compile(r"\{?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}?")
_NO_GUID = "00000000-0000-0000-0000-000000000000"
_COUNTRY = re.compile(r"[A-Z]{2}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_DIGITS = re.compile(r"[0-9]{1,18}")
_ID_END = 1 << 63


def money(value: Any, _: Moment) -> Decimal:
    """Decimal of a decimal(18,9) column: text, an integer, or a number that was read as Decimal. Never a float."""
    return _exact(value, _MONEY, "at most 9 digits before and 9 after the point")


def quantity(value: Any, _: Moment) -> Decimal:
    """Decimal of a count: 4 decimals."""
    return _exact(value, _QUANTITY, "at most 15 digits before and 4 after the point")


def summed(value: str) -> Decimal:
    """Decimal of a <Value> in Kentico's XML, which no column has rounded: to nine decimals."""
    if not _SUMMED.fullmatch(value.strip()):
        raise BadValue(f"{value[:40]!r} is no amount")
    return Decimal(value.strip()).quantize(_NANO, ROUND_HALF_UP)


def _exact(value: Any, form: re.Pattern[str], limits: str) -> Decimal:
    kind = type(value)
    if kind is str and value:
        match = form.fullmatch(value)
        if match is None or (match[2] and "." not in value):
            raise BadValue(f"{value[:40]!r} is no decimal with {limits}")
        return Decimal(match[1])
    if kind is int:
        if -_MONEY_END < value < _MONEY_END:
            return Decimal(value)
        raise BadValue(f"{str(value)[:40]} is too large: {limits}")
    if kind is Decimal:
        if value.is_finite() and -40 < value.adjusted() < 18:
            return _exact(f"{value:f}", form, limits)
        if value.is_zero():
            return Decimal(0)
        raise BadValue(f"{str(value)[:40]} is no decimal with {limits}")
    if kind is float:
        raise BadValue('is a JSON number, which loses cents: send decimals as text, like "29.90"')
    raise _absent_or(value, "a decimal as text")


def identity(value: Any, _: Moment) -> int:
    """A database id: 1 or above."""
    number = integer(value, _)
    if number < 1:
        raise BadValue(f"{number} is no id")
    return number


def integer(value: Any, _: Moment) -> int:
    kind = type(value)
    if kind is int and -_ID_END < value < _ID_END:
        return cast(int, value)
    if kind is str and _DIGITS.fullmatch(value):
        return int(value)
    if kind is int:
        raise BadValue(f"{str(value)[:40]} is too large")
    raise _absent_or(value, "an integer")


def reference(value: Any, _: Moment) -> int | None:
    """A foreign key: null, and the 0 that .NET senders write for null, are None."""
    if value is None or value == "":
        return None
    return integer(value, _) or None


def guid(value: Any, _: Moment) -> str | None:
    """Lower case without braces; null and the zero GUID are None."""
    if value is None or value == "":
        return None
    match = _GUID.fullmatch(value) if type(value) is str else None
    if match is None:
        raise BadValue(f"{str(value)[:40]!r} is no GUID")
    found = match[1].lower()
    return None if found == _NO_GUID else found


def flag(value: Any, _: Moment) -> bool | None:
    """true, false, 0, 1 or null."""
    if value is None or value is True or value is False:
        return value
    if type(value) is int and value in (0, 1):
        return bool(value)
    raise BadValue(f"{str(value)[:40]!r} is neither true nor false")


def yes(value: Any, moment: Moment) -> bool:
    """A flag whose null means no."""
    return bool(flag(value, moment))


def text(value: Any, _: Moment) -> str | None:
    """Text or null; numbers are taken as their text (an invoice number that is all digits)."""
    if value is None or isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    raise BadValue(f"needs text, not {type(value).__name__}")


def words(value: Any, _: Moment) -> str:
    """Text whose null is empty."""
    return text(value, _) or ""


def name(value: Any, _: Moment) -> str:
    """Text that must be there."""
    found = text(value, _)
    if not found:
        raise BadValue("is missing")
    return found


def time(value: Any, moment: Moment) -> datetime:
    if value is None or value == "":
        raise BadValue("is missing")
    return moment(value)


def maybe_time(value: Any, moment: Moment) -> datetime | None:
    return None if value is None or value == "" else moment(value)


def maybe_money(value: Any, moment: Moment) -> Decimal | None:
    return None if value is None or value == "" else money(value, moment)


def country(value: Any, _: Moment) -> str | None:
    """ISO 3166 of two letters, in capitals; null and empty are none."""
    code = (text(value, _) or "").strip().upper()
    if not code:
        return None
    if not _COUNTRY.fullmatch(code):
        raise BadValue(f"{code[:40]!r} is no country code of two letters")
    return code


def currency(value: Any, _: Moment) -> str:
    """ISO 4217 of three letters, in capitals."""
    code = name(value, _).strip().upper()
    if not _CURRENCY.fullmatch(code):
        raise BadValue(f"{code[:40]!r} is no currency code of three letters")
    return code


def maybe_currency(value: Any, moment: Moment) -> str | None:
    return None if value is None or value == "" else currency(value, moment)


def read(row: Any, columns: Columns, path: str, moment: Moment) -> dict[str, Any]:
    """The columns of a row, converted; a FieldError names the first that does not fit."""
    if not isinstance(row, dict):
        raise FieldError(path, f"needs an object, not {type(row).__name__}")
    found: dict[str, Any] = {}
    column = ""
    try:
        for column, convert in columns.items():
            found[column] = convert(row.get(column), moment)
    except BadValue as error:
        raise FieldError(f"{path}.{column}" if path else column, str(error)) from None
    return found


def custom(row: Mapping[str, Any], known: Columns, left_out: frozenset[str]) -> dict[str, str]:
    """Every column that is neither known nor left out, as text; nulls and empties are no value."""
    return {
        key: plain(value)
        for key, value in row.items()
        if key not in known and key not in left_out and value is not None and value != ""
    }


def plain(value: Any) -> str:
    """Any JSON value as text: text as it is, decimals without exponent, the rest as JSON."""
    if type(value) is str:
        return value
    if type(value) is Decimal:
        return f"{value:f}" if abs(value.adjusted()) < 40 else str(value)
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:  # an integer of more than 64 bits, or half a surrogate pair, somewhere in it
        return json.dumps(value, default=str)


def _absent_or(value: Any, wanted: str) -> BadValue:
    if value is None or value == "":
        return BadValue("is missing")
    return BadValue(f"needs {wanted}, not {type(value).__name__}")
