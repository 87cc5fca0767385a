"""Errors of the embedded Kafka. Each message says what happened, where, and what to do next.

K2xError (k2x.errors)
└── EmbeddedKafkaError
    ├── TransientKafkaError      the same call may succeed later
    │   ├── JarsUnavailable      Kafka's jars are not in the cache and cannot be downloaded
    │   └── NotReady             the broker runs, but does not answer in time
    └── TerminalKafkaError       nothing changes until a person acts
        ├── JarSumDiffers        a downloaded jar is not the one the committed lock names
        ├── LockUnreadable       the committed lock file itself is damaged
        ├── AlreadyRunning       another k2x holds the data directory
        ├── PortTaken            another program listens on the configured port
        ├── NewerData            the data directory was written by a newer Kafka
        ├── ForeignData          the data directory was not made by k2x
        ├── DiskFull             too little space left for Kafka's logs
        └── BrokerDied           the Java process ended by itself
"""

from __future__ import annotations

from k2x.errors import K2xError


class EmbeddedKafkaError(K2xError):
    """Root of what can go wrong with the broker that k2x starts itself."""


class TransientKafkaError(EmbeddedKafkaError):
    """Trying again may help."""


class TerminalKafkaError(EmbeddedKafkaError):
    """Trying again does not help; the message names the remedy."""


class JarsUnavailable(TransientKafkaError):
    """Kafka's jars cannot be fetched."""


class NotReady(TransientKafkaError):
    """The broker did not answer within the time allowed."""


class JarSumDiffers(TerminalKafkaError):
    """A jar's SHA-256 is not the one in the lock."""


class LockUnreadable(TerminalKafkaError):
    """A line of the lock file is not `group:artifact:version[:classifier][@type] sha256`."""


class AlreadyRunning(TerminalKafkaError):
    """The data directory is in use; `pid` is the owner, or None if it did not say."""

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class PortTaken(TerminalKafkaError):
    """The port is in use by another program."""


class NewerData(TerminalKafkaError):
    """The data directory belongs to a newer Kafka."""


class ForeignData(TerminalKafkaError):
    """The data directory holds data that k2x did not write."""


class DiskFull(TerminalKafkaError):
    """Not enough disk space."""


class BrokerDied(TerminalKafkaError):
    """The broker's process ended; the message ends with its last log lines."""
