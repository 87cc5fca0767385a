"""Errors of the Xero connector. Transient ones pass by themselves; terminal ones wait for a person.

XeroError
├── Transient
│   ├── IdentityUnreachable   the token endpoint did not answer, or answered 5xx or 429
│   ├── TokenNotReady         no usable access token yet: the token's owner has not renewed it, or is being elected
│   ├── ReferenceUnreadable   reference data was asked for and the answer cannot be used
│   ├── TransactionAborted    a lane's transaction certainly did not happen and is written again
│   └── LaneLost              a lane is fenced, or cannot know whether its last transaction happened: take over anew
└── Terminal
    ├── AuthError
    │   ├── AuthRevoked       invalid_grant: the refresh token is stale, used up or revoked
    │   ├── ClientRefused     invalid_client, unauthorized_client or invalid_scope: the app's id, secret or scopes
    │   ├── NotConnected      nobody has run `k2x xero connect` for this app yet
    │   └── TokenKeyWrong     the stored token cannot be decrypted with the key given
    ├── CannotBeTakenBack     an invoice in Xero is not as the ledger has it, or not whole: it is not credited
    ├── LaneRefused           an organisation's topic or configuration does not allow a lane
    └── ConnectFailed         `k2x xero connect` was refused, timed out, or its answer did not belong to our question
"""

from __future__ import annotations


class XeroError(Exception):
    """Root. The message says what happened, where, and what to do next."""


class Transient(XeroError):
    """Passes by itself: wait and repeat."""


class Terminal(XeroError):
    """Repeating will not help: a person has to change something."""


class IdentityUnreachable(Transient):
    """The identity service did not answer in a way that decides anything."""


class TokenNotReady(Transient):
    """There is no usable access token at this moment, but one is expected."""


class ReferenceUnreadable(Transient):
    """An answer with reference data that cannot be used: the snapshot goes on with the next read."""


class CannotBeTakenBack(Terminal):
    """Why an invoice is not credited as a whole; its message is a clause, the caller says which order."""


class AuthError(Terminal):
    """Xero does not let us in."""


class AuthRevoked(AuthError):
    """The refresh token is stale, used up or revoked: connect again."""


class ClientRefused(AuthError):
    """The app's id, secret, grant or scopes are refused."""


class NotConnected(AuthError):
    """There is no token for this app yet."""


class TokenKeyWrong(AuthError):
    """The stored token does not open with the configured key."""


class ConnectFailed(Terminal):
    """The connection by browser did not come about."""


class TransactionAborted(Transient):
    """A transaction certainly did not happen: it is written again."""


class LaneLost(Transient):
    """Another sink owns the organisation now, or whether our last transaction happened is unknown: take over anew."""


class LaneRefused(Terminal):
    """The organisation cannot be served by this sink: its topic or its configuration is wrong."""
