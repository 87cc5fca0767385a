"""Ways to tell people: an HTTP webhook (its `text` is what chats show) and e-mail. NotTold when one fails."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Protocol

import httpx
from pydantic import SecretStr

from k2x.errors import K2xError
from k2x.watch.digest import Message

_TIMEOUT_S = 10.0


class NotTold(K2xError):
    """A channel did not take a message; it is tried again."""


class Channel(Protocol):
    """Somewhere to say it. `name` is the metric's label."""

    @property
    def name(self) -> str: ...

    def tell(self, message: Message) -> None:
        """Blocks for ten seconds at most. NotTold."""


@dataclass(frozen=True)
class Webhook:
    """POSTs JSON: `text` for people, the rest for programs. The address is a secret: it is never written down."""

    url: SecretStr
    transport: httpx.BaseTransport | None = field(default=None, repr=False)
    name: str = "webhook"

    def tell(self, message: Message) -> None:
        body = {
            "text": message.text,
            "subject": message.subject,
            "org": message.org or None,
            "class": message.kind,
            "count": message.count,
            "items": [{"text": notice.text, "then": notice.then} for notice in message.shown],
        }
        try:
            with httpx.Client(timeout=_TIMEOUT_S, transport=self.transport) as client:
                answer = client.post(self.url.get_secret_value(), json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotTold(f"the webhook was not reached: {type(error).__name__}. Is its address right?") from None
        if answer.status_code >= 300:
            raise NotTold(f"the webhook answered {answer.status_code}. Is its address still valid?")


Connect = Callable[..., smtplib.SMTP]


@dataclass(frozen=True)
class Mail:
    """One plain-text mail a message."""

    host: str
    port: int
    tls: str
    username: str | None
    password: SecretStr | None
    sender: str
    to: tuple[str, ...]
    name: str = "email"

    def tell(self, message: Message) -> None:
        mail = EmailMessage()
        mail["Subject"], mail["From"], mail["To"] = message.subject, self.sender, ", ".join(self.to)
        mail.set_content(message.text)
        connect: Connect = smtplib.SMTP_SSL if self.tls == "tls" else smtplib.SMTP
        try:
            with connect(self.host, self.port, timeout=_TIMEOUT_S) as server:
                if self.tls == "starttls":
                    server.starttls()
                if self.username is not None and self.password is not None:
                    server.login(self.username, self.password.get_secret_value())
                server.send_message(mail)
        except (smtplib.SMTPException, OSError) as error:
            raise NotTold(
                f"mail by {self.host}:{self.port} was not taken: {type(error).__name__}: {error}. "
                "Check watch.notify.email in k2x.yaml."
            ) from error
