"""Errors of the front door; every message says what happened, where, and what to do next.

K2xError
├── ConfigError            k2x.yaml or a rules file is wrong: names file, line and key
│   └── SecretMissing      a variable that should hold a secret is not set
├── ProcessFailed          a process of k2x ended by itself
└── SandboxFailed          a sandbox did not start or answer
"""

from __future__ import annotations


class K2xError(Exception):
    """Root: shown to a person as one message, never as a stack trace."""


class ConfigError(K2xError):
    """Configuration that cannot be used."""


class SecretMissing(ConfigError):
    """A secret's variable is empty."""


class ProcessFailed(K2xError):
    """A child process ended and its restarts are used up."""


class SandboxFailed(K2xError):
    """A sandbox did not start, or answered with an error."""
