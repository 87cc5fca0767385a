"""The webhook's proof of origin, pure: `t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t + "." + raw body)>`."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime

from connectors.kentico.errors import Unsigned

HEADER = "X-Kentico-Signature"
_TIME = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"[0-9a-fA-F]{64}")
# A sender that rotates two secrets sends two; more is no sender of ours.
_MOST_SIGNATURES = 8


def parse(header: str) -> tuple[str, list[str]]:
    """(t as it was sent, every v1 in lower case). Unknown names are left alone, as newer versions may add them."""
    stamps: list[str] = []
    signatures: list[str] = []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            stamps.append(value)
        elif name == "v1":
            signatures.append(value.lower())
    if len(stamps) != 1 or not _TIME.fullmatch(stamps[0]):
        raise Unsigned("malformed", f"{HEADER}: needs one t=<unix seconds>")
    if not signatures or len(signatures) > _MOST_SIGNATURES or not all(_HEX.fullmatch(s) for s in signatures):
        raise Unsigned("malformed", f"{HEADER}: needs v1=<64 hex digits>, HMAC-SHA256 of t + '.' + body")
    return stamps[0], signatures


def verify(header: str | None, body: bytes, secrets: Iterable[str], now: datetime, tolerance_s: int = 300) -> None:
    """Return where any v1 fits any secret and t is within the tolerance; Unsigned otherwise.

    `body` is the raw bytes, `now` is aware. Every pair is compared, in constant time each.
    """
    if not header:
        raise Unsigned("missing", f"{HEADER} is missing")
    stamp, signatures = parse(header)
    matched = False
    for secret in secrets:
        expected = sign(secret, stamp, body)
        for signature in signatures:
            matched |= hmac.compare_digest(expected, signature)
    if not matched:
        raise Unsigned("mismatch", f"{HEADER} does not fit the body: check the secret, and sign the bytes as sent")
    age = now.timestamp() - int(stamp)
    if abs(age) > tolerance_s:
        raise Unsigned(
            "expired",
            f"{HEADER} is {age:.0f} s old, {tolerance_s} are allowed: check the clock, sign each attempt anew",
        )


def sign(secret: str, stamp: str, body: bytes) -> str:
    """The v1 of a body at a time."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
