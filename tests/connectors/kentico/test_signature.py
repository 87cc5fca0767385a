from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.kentico.errors import Unsigned
from connectors.kentico.signature import verify

# printf '1793614531.{"eventId":"a","total":"94.44"}' | openssl dgst -sha256 -hmac 'k2x-test-secret-0001'
BODY = b'{"eventId":"a","total":"94.44"}'
STAMP = 1793614531
SECRET = "k2x-test-secret-0001"
V1 = "dfa4dff63bceec7fae6faac59bf355dea09cccfceb4984aa0283d34251425266"
NOW = datetime.fromtimestamp(STAMP, UTC)
OTHER = "0" * 64


def test_vector_made_by_openssl_is_accepted() -> None:
    verify(f"t={STAMP},v1={V1}", BODY, [SECRET], NOW)


@pytest.mark.parametrize(
    "header",
    [
        f"t={STAMP},v1={OTHER},v1={V1}",
        f"v1={V1.upper()}, t={STAMP}",
        f"t={STAMP},v0=abc,v1={V1}",
    ],
)
def test_any_v1_in_any_order_may_fit(header: str) -> None:
    verify(header, BODY, [SECRET], NOW)


def test_either_of_two_secrets_may_fit() -> None:
    verify(f"t={STAMP},v1={V1}", BODY, ["a-newer-secret-0002", SECRET], NOW)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "missing"),
        ("", "missing"),
        (f"v1={V1}", "malformed"),
        (f"t={STAMP}", "malformed"),
        (f"t={STAMP},t={STAMP},v1={V1}", "malformed"),
        (f"t=-{STAMP},v1={V1}", "malformed"),
        (f"t={STAMP},v1={V1[:-1]}", "malformed"),
        (f"t={STAMP},v1=" + "é" * 64, "malformed"),
        (f"t={STAMP}," + ",".join([f"v1={V1}"] * 9), "malformed"),
        (f"t={STAMP},v1={OTHER}", "mismatch"),
        (f"t={STAMP + 1},v1={V1}", "mismatch"),
    ],
)
def test_refusals_name_their_kind(header: str | None, code: str) -> None:
    with pytest.raises(Unsigned) as caught:
        verify(header, BODY, [SECRET], NOW)
    assert caught.value.code == code


def test_body_must_be_the_signed_bytes() -> None:
    with pytest.raises(Unsigned, match="does not fit"):
        verify(f"t={STAMP},v1={V1}", BODY + b"\n", [SECRET], NOW)


@pytest.mark.parametrize("seconds", [-300, 300])
def test_five_minutes_either_way_are_allowed(seconds: int) -> None:
    verify(f"t={STAMP},v1={V1}", BODY, [SECRET], NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-301, 301])
def test_older_or_newer_is_a_replay(seconds: int) -> None:
    with pytest.raises(Unsigned) as caught:
        verify(f"t={STAMP},v1={V1}", BODY, [SECRET], NOW + timedelta(seconds=seconds))
    assert caught.value.code == "expired"
