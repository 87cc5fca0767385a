"""Reads an organisation's sales documents and payments from Xero's API over plain HTTP, apart from the sink's client.

Guarantee: of a list that moves while it is read nothing is missed. Rows come by the time of their last change, and the
next page is asked for by that time, never by its number: a row that changes meanwhile only comes once more.
Authorisation is shared with the sink (k2x.xero_access); nothing else is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx

from k2x.audit import documents
from k2x.audit.documents import BankDocument, CreditNote, Invoice, Payment
from k2x.audit.errors import XeroNotNow, XeroUnreadable
from k2x.audit.pace import Pace
from k2x.in_words import moment, span

PAGE = 1000  # the most Xero gives (xero.md §1.7)
_IDS = 40  # ids or numbers in a URL: about 52 GUIDs are the practical end
_ORS = 15  # conditions in a filter: 20 have been refused as too much (xero.md §1.7)
_TRIES = 4
_BACKOFF_S = 2.0
_SLICE_S = 30.0  # a long wait is slept in slices, so that Ctrl-C and the progress line are prompt
_TIMEOUT = httpx.Timeout(120.0, connect=10.0)

_SALES = {"Invoices": "ACCREC", "CreditNotes": "ACCRECCREDIT"}  # the type of a sale; purchases are nobody's here
_FIRST = date(2000, 1, 1)  # before any settlement
_MOMENT = timedelta(seconds=2)  # from a second early to the end of the second that the header names

T = TypeVar("T", Invoice, CreditNote, Payment, BankDocument)
_Reads = Callable[[str, Mapping[str, Any]], T]


class Token(Protocol):
    """An access token."""

    @property
    def value(self) -> str: ...

    @property
    def id(self) -> str: ...


class Tokens(Protocol):
    """Where tokens come from; both may raise, and the message says what to do."""

    def token(self) -> Token: ...

    def renew(self, refused: str) -> Token: ...


@dataclass(frozen=True)
class Address:
    """Which organisation, and where. `tenant_id` None: a custom connection, which has one."""

    org: str
    api_url: str
    tenant_id: str | None = None


class XeroBooks:
    """One organisation's documents. `wait`: sleep out long waits instead of raising XeroNotNow."""

    def __init__(
        self,
        address: Address,
        tokens: Tokens,
        pace: Pace,
        *,
        page: int = PAGE,
        wait: bool = False,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.address = address
        self.calls = 0
        self._tokens = tokens
        self._pace = pace
        self._size = page
        self._wait = wait
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._http = httpx.Client(timeout=_TIMEOUT, transport=transport)

    def close(self) -> None:
        self._http.close()

    # -- documents ----------------------------------------------------------------------------------------------

    def invoices(self, since: date | None = None, until: date | None = None) -> Iterator[list[Invoice]]:
        """Sales invoices dated from `since` to `until`, both included, in pages; all statuses."""
        where = ['Type=="ACCREC"', *_dated(since, until)]
        yield from self._all("Invoices", " AND ".join(where), documents.invoice)

    def credit_notes(self, since: date | None = None, until: date | None = None) -> Iterator[list[CreditNote]]:
        """Sales credit notes dated from `since` to `until`, likewise."""
        where = ['Type=="ACCRECCREDIT"', *_dated(since, until)]
        yield from self._all("CreditNotes", " AND ".join(where), documents.credit_note)

    def refund_payments(self, since: date | None = None) -> Iterator[list[Payment]]:
        """The money back of sales credit notes from `since` on, deleted ones too."""
        where = ['PaymentType=="ARCREDITPAYMENT"', *_dated(since, None)]
        yield from self._all("Payments", " AND ".join(where), documents.payment)

    def payments(self, since: date | None = None) -> Iterator[list[Payment]]:
        """Payments of sales invoices from `since` on, deleted ones too: an invoice shows neither these nor accounts."""
        where = ['PaymentType=="ACCRECPAYMENT"', *_dated(since, None)]
        yield from self._all("Payments", " AND ".join(where), documents.payment)

    def bank_transactions(self, since: date | None = None, until: date | None = None) -> Iterator[list[BankDocument]]:
        """Money spent and received, dated so; deleted ones too. The sides of transfers are left out."""
        where = _dated(since or _FIRST, until)
        for rows in self._all("BankTransactions", " AND ".join(where), documents.bank_transaction):
            yield [row for row in rows if not row.type.endswith("-TRANSFER")]

    def bank_transfers(self, since: date | None = None, until: date | None = None) -> list[BankDocument]:
        """All transfers dated so, living ones: Xero has no pages of them."""
        where = " AND ".join(_dated(since, until))
        body = self._get("BankTransfers", {"where": where} if where else {}, None) or {}
        rows = body.get("BankTransfers")
        if not isinstance(rows, list):
            raise XeroUnreadable(f"{self.address.org}: Xero's answer to GET BankTransfers holds none. Try again.")
        return [documents.bank_transfer(self.address.org, row) for row in rows]

    def invoices_by_id(self, ids: Iterable[str]) -> Iterator[list[Invoice]]:
        for some in _chunks(ids):
            yield self._page("Invoices", {"IDs": ",".join(some)}, documents.invoice)

    def invoices_by_number(self, numbers: Iterable[str]) -> Iterator[list[Invoice]]:
        for some in _chunks(number for number in numbers if "," not in number):
            yield self._page("Invoices", {"InvoiceNumbers": ",".join(some)}, documents.invoice)

    def invoices_by_reference(self, reference: str) -> list[Invoice]:
        where = f'Type=="ACCREC" AND Reference=="{_quoted(reference)}"'
        return self._page("Invoices", {"where": where}, documents.invoice)

    def credit_note(self, key: str) -> CreditNote | None:
        """By id or number; each costs a call, as Xero takes no list of either (xero.md §1.7)."""
        body = self._get(f"CreditNotes/{quote(key, safe='')}", {"unitdp": "4"}, None, absent=True)
        rows = [row for row in (body or {}).get("CreditNotes") or () if row.get("Type") in (None, "ACCRECCREDIT")]
        return documents.credit_note(self.address.org, rows[0]) if rows else None

    def credit_notes_by_reference(self, reference: str) -> list[CreditNote]:
        where = f'Type=="ACCRECCREDIT" AND Reference=="{_quoted(reference)}"'
        return self._page("CreditNotes", {"where": where}, documents.credit_note)

    def payments_of(self, document_ids: Iterable[str]) -> Iterator[list[Payment]]:
        """Of invoices and of credit notes."""
        for some in _chunks(document_ids, _ORS):
            where = " OR ".join(f'Invoice.InvoiceID==guid("{one}")' for one in some)
            yield self._page("Payments", {"where": where}, documents.payment)

    # -- lists --------------------------------------------------------------------------------------------------

    def _all(self, resource: str, where: str, read: _Reads[T]) -> Iterator[list[T]]:
        since: datetime | None = None
        while True:
            rows = self._page(resource, {"where": where}, read, since)
            yield rows
            if len(rows) < self._size:
                return
            last = self._newest(resource, rows)
            if since is None or last > since:
                since = last
                continue
            more = yield from self._burst(resource, where, read, since)
            if more is None:
                return
            since = more

    def _burst(
        self, resource: str, where: str, read: _Reads[T], since: datetime
    ) -> Generator[list[T], None, datetime | None]:
        """More rows of one moment than a page holds: by page numbers, and again until nothing has moved meanwhile.

        Where to go on from; None at the end of the list.
        """
        before: list[str] | None = None
        while True:
            ids: list[str] = []
            number, more = 0, None
            while more is None or more <= since:
                number += 1
                rows = self._page(resource, {"where": where, "page": str(number)}, read, since)
                yield rows
                ids += [row.id for row in rows if row.updated_at is not None and row.updated_at < since + _MOMENT]
                if len(rows) < self._size:
                    more = None
                    break
                more = self._newest(resource, rows)
            if ids == before:
                return more
            before = ids

    def _newest(self, resource: str, rows: list[T]) -> datetime:
        """The change time to go on from, a second early: the header counts whole seconds."""
        times = [row.updated_at for row in rows if row.updated_at is not None]
        if len(times) < len(rows) or times != sorted(times):
            raise XeroUnreadable(
                f"{self.address.org}: Xero's list of {resource} does not come in the order of its changes, so it "
                "cannot be read without missing some. Report this."
            )
        return times[-1].replace(microsecond=0) - timedelta(seconds=1)

    def _page(
        self,
        resource: str,
        query: Mapping[str, str],
        read: _Reads[T],
        since: datetime | None = None,
    ) -> list[T]:
        # Only a paged list shows lines and payments.
        asked = {"page": "1", "pageSize": str(self._size), "order": "UpdatedDateUTC ASC", "unitdp": "4", **query}
        body = self._get(resource, asked, since) or {}
        rows = body.get(resource)
        if not isinstance(rows, list):
            raise XeroUnreadable(f"{self.address.org}: Xero's answer to GET {resource} holds no {resource}. Try again.")
        kinds = (None, _SALES[resource]) if resource in _SALES else ()
        return [read(self.address.org, row) for row in rows if not kinds or row.get("Type") in kinds]

    # -- calls --------------------------------------------------------------------------------------------------

    def _get(
        self, resource: str, query: Mapping[str, str], since: datetime | None, *, absent: bool = False
    ) -> dict[str, Any] | None:
        """A 429 costs no try: the pace waits it out, or says when to come again. `absent`: a 404 is an answer, None."""
        tries, renewed = 0, False
        while True:
            answer = self._send(resource, query, since)
            if isinstance(answer, str):
                problem = answer
            elif answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                continue
            elif answer.status_code == httpx.codes.UNAUTHORIZED and not renewed:
                self._tokens.renew(self._tokens.token().id)
                renewed = True
                continue
            elif absent and answer.status_code == httpx.codes.NOT_FOUND:
                return None
            elif answer.status_code in (httpx.codes.OK, httpx.codes.NOT_MODIFIED):
                body = _json(answer)
                if body is not None:
                    return body
                problem = "an answer that is no JSON"
            elif answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                problem = f"status {answer.status_code}"
            else:
                raise XeroUnreadable(
                    f"{self.address.org}: Xero refuses GET {resource}: {_words(answer)}. Check the connection with "
                    "`k2x check --live`."
                )
            tries += 1
            if tries == _TRIES:
                raise XeroUnreadable(
                    f"{self.address.org}: GET {resource} failed {tries} times: {problem}. Try again later."
                )
            self._sleep(_BACKOFF_S * 2 ** (tries - 1))

    def _send(self, resource: str, query: Mapping[str, str], since: datetime | None) -> httpx.Response | str:
        """One call when its turn has come; text for what never got an answer."""
        self._await_turn()
        headers = {"Authorization": f"Bearer {self._tokens.token().value}", "Accept": "application/json"}
        if self.address.tenant_id:
            headers["xero-tenant-id"] = self.address.tenant_id
        if since is not None:
            headers["If-Modified-Since"] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        self._pace.sent(self._clock())
        self.calls += 1
        try:
            answer = self._http.get(
                f"{self.address.api_url.rstrip('/')}/{resource}", params=dict(query), headers=headers
            )
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"[:200]
        known = {name.lower(): value for name, value in answer.headers.items()}
        self._pace.answered(self._clock(), answer.status_code, known)
        return answer

    def _await_turn(self) -> None:
        while (wait := self._pace.wait(self._clock())) is not None:
            until = datetime.fromtimestamp(self._clock() + wait.seconds, UTC)
            if wait.long and not self._wait:
                raise XeroNotNow(
                    f"{self.address.org}: {wait.why}. Go on in {span(timedelta(seconds=wait.seconds))}, at "
                    f"{moment(until)}; --wait sleeps until then, --since and --until read less."
                )
            self._say(f"{self.address.org}: {wait.why}; going on at {moment(until)}")
            self._sleep(min(wait.seconds, _SLICE_S) + 0.01)


def _dated(since: date | None, until: date | None) -> list[str]:
    tests = [("Date>=", since), ("Date<=", until)]
    return [f"{name}DateTime({day.year},{day.month:02},{day.day:02})" for name, day in tests if day is not None]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _chunks(values: Iterable[str], size: int = _IDS) -> Iterator[list[str]]:
    every = list(dict.fromkeys(values))
    for start in range(0, len(every), size):
        yield every[start : start + size]


def _json(answer: httpx.Response) -> dict[str, Any] | None:
    if answer.status_code == 304:  # nothing has changed since
        return {"Invoices": [], "Payments": [], "CreditNotes": [], "BankTransactions": [], "BankTransfers": []}
    try:
        body = json.loads(answer.content, parse_float=Decimal)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _words(answer: httpx.Response) -> str:
    """Xero's own words at the top of an error."""
    body = _json(answer) or {}
    said = [str(body[name]) for name in ("Type", "Title", "Message", "Detail", "error") if body.get(name)]
    return "; ".join([f"status {answer.status_code}", *said])[:300]
