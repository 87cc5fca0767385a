"""What can go wrong in the sandbox shop.

SandboxError
├── BadQuery          a where, orderby or columns parameter the shop cannot read; answered 400, nothing done
├── BadControl        a /_sandbox request that makes no sense; answered 400 with the reason in words
├── UnknownObject     no such instance, site, type or row; answered 404
└── StateMismatch     the folder on disk belongs to another kind of shop; the process does not start
"""

from __future__ import annotations


class SandboxError(Exception):
    """Root of every error the sandbox raises on purpose."""


class BadQuery(SandboxError):
    """A REST parameter outside the subset of SQL that the shop understands."""


class BadControl(SandboxError):
    """A control request with a missing or impossible value; the message names the key."""


class UnknownObject(SandboxError):
    """Something that is not in this shop."""


class StateMismatch(SandboxError):
    """The state folder was written by another layout of the shop; move it away or start with an empty one."""
