"""Text that Xero can hold: without control characters and marks that nobody sees, spaces collapsed. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata

# Zero-width joiner and non-joiner: Persian, Hindi or Sinhala words, and emoji of several parts, are wrong without them.
_JOINERS = "\u200c\u200d"


def printable(value: str) -> str:
    """The text without control characters (they break Xero's XML; each becomes a space, but a line break stays) and
    without invisible format characters such as byte order marks and soft hyphens."""
    return value if value.isprintable() else "".join(map(_seen, value))


def _seen(one: str) -> str:
    if one.isprintable() or one == "\n" or one in _JOINERS:
        return one
    return "" if unicodedata.category(one) == "Cf" else " "


def line(value: str | None) -> str:
    """One line of text, spaces collapsed."""
    return " ".join(printable(value).split()) if value else ""


def clean(value: str | None) -> str:
    """A line without `<>`: what Xero takes for a name."""
    if value and ("<" in value or ">" in value):
        value = value.replace("<", " ").replace(">", " ")
    return line(value)


_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,60}")


def identifier(foreign: str) -> str:
    """Fit for a number, a marker and a ledger key: an id with other characters is shortened, and told apart by its
    hash."""
    if _IDENTIFIER.fullmatch(foreign):
        return foreign
    kept = "".join(_IDENTIFIER.findall(foreign))[:20]
    return f"{kept}-{hashlib.sha256(foreign.encode()).hexdigest()[:8]}".lstrip("-")
