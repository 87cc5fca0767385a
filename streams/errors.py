"""Errors of the streams worker itself; what is wrong with one order is never an exception that leaves its agent.

StreamsError
├── StreamsTransient     start again: nothing was confirmed that is not on the broker
│   ├── CopyLate         reference data or rules could not be read to their end in time
│   └── schemas.errors.NotDelivered stops the worker the same way (it is not ours, so it is not below this)
├── NotUsable            an organisation's rules cannot be compiled: its orders are parked until better ones arrive
└── StreamsTerminal      starting again does not help until a person changes something
    ├── MissingTopic     a topic that the worker needs does not exist
    ├── UnequalTopics    a topic and its parked topic differ in partitions
    ├── PortTaken        the metrics' port is in use
    └── BadSecurity      a Kafka security setting that Faust's client cannot be given
"""

from __future__ import annotations


class StreamsError(Exception):
    """Root of what can stop a streams worker."""


class StreamsTransient(StreamsError):
    """Passes by itself: start the worker again."""


class StreamsTerminal(StreamsError):
    """Stays until a person changes something."""


class NotUsable(StreamsError):
    """Rules that cannot be compiled against the organisation's reference data; nobody else's orders are touched."""


class CopyLate(StreamsTransient):
    """A compacted topic was not read to its end in time."""


class MissingTopic(StreamsTerminal):
    """A topic that the worker needs does not exist."""


class UnequalTopics(StreamsTerminal):
    """A source topic and its parked topic must have equally many partitions."""


class BadSecurity(StreamsTerminal):
    """A Kafka security setting that Faust's client cannot be given."""


class PortTaken(StreamsTerminal):
    """The metrics cannot be served where the settings say."""
