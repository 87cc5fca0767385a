"""Errors of the contract layer.

SchemaError
├── UnknownSchema        a record carries an id that neither ids.json nor the registry knows
├── NotEncodable         a value does not fit its schema (a bug of ours, or bad input let through)
├── NotDecodable         bytes that are not Confluent wire format, or do not fit the schema they name
├── RegistryUnavailable  the schema registry cannot be reached (transient)
└── Incompatible         the registry refuses a schema as not BACKWARD compatible
DeliveryError
└── NotDelivered         the broker did not acknowledge in time (transient)
"""

from __future__ import annotations


class SchemaError(Exception):
    """Root of what can go wrong between a value and its bytes."""


class UnknownSchema(SchemaError):
    """The schema id in a record is unknown here: upgrade k2x, or point it at the registry that gave the id."""


class NotEncodable(SchemaError):
    """A value does not fit its schema."""


class NotDecodable(SchemaError):
    """Bytes that cannot be read as the schema they name."""


class RegistryUnavailable(SchemaError):
    """The schema registry did not answer: transient."""


class Incompatible(SchemaError):
    """The registry refused a schema because readers of the old one would break."""


class DeliveryError(Exception):
    """Root of what can go wrong on the way to the broker."""


class NotDelivered(DeliveryError):
    """The broker did not acknowledge every record in time. Nothing may be confirmed; the sender repeats."""
