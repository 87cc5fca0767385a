"""Errors of the audit.

K2xError
└── AuditError
    ├── XeroNotNow       the tools' share of Xero's calls is used: says when to go on (transient)
    └── XeroUnreadable   Xero refuses the reading, or does not answer it
"""

from __future__ import annotations

from k2x.errors import K2xError


class AuditError(K2xError):
    """Root: the audit could not be done."""


class XeroNotNow(AuditError):
    """Calls are possible again later, and the message says when."""


class XeroUnreadable(AuditError):
    """Xero's documents cannot be read."""
