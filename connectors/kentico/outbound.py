"""What was read of an object as the record of its topic, or the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.kentico.errors import FieldError
from connectors.kentico.events import SCHEMAS
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotEncodable
from schemas.letters import ErrorClass, Reason


@dataclass(frozen=True)
class Outbound:
    """Makes one instance's records. `most_bytes`: what Kafka takes as one record's value."""

    instance: str
    codec: Codec
    most_bytes: int

    def record(self, object_type: str, object_id: int, value: Mapping[str, Any], trace: str | None = None) -> Record:
        """The record. FieldError or NotEncodable where it cannot be one."""
        schema = SCHEMAS[object_type]
        encoded = self.codec.encode(schema, value)
        if len(encoded) > self.most_bytes:
            raise FieldError(schema, f"is {len(encoded)} bytes as a record; Kafka takes {self.most_bytes}")
        topic = {"order": topics.ORDERS, "customer": topics.CUSTOMERS, "product": topics.PRODUCTS}[schema]
        headers = [("traceparent", trace.encode())] if trace else []
        return Record(topic, topics.order_key(self.instance, object_id), encoded, headers)

    def refused(self, object_id: int, error: FieldError | NotEncodable, site: str | None = None) -> Reason:
        """A value does not fit."""
        code = "unreadable_field" if isinstance(error, FieldError) else "not_encodable"
        hint = "mend the value in Kentico and save the order, or redrive this letter after it was mended"
        return self.reason(object_id, ErrorClass.VALIDATION, code, str(error), hint, site, error)

    def bug(self, object_id: int, error: Exception, site: str | None = None) -> Reason:
        """Our fault."""
        message = f"a fault of k2x: {type(error).__name__}: {error}"
        hint = "report it with this letter's stack trace; redrive it after an upgrade"
        return self.reason(object_id, ErrorClass.BUG, "reader_bug", message, hint, site, error)

    def spoiled(self, object_type: str, object_id: int, error: Exception, site: str | None = None) -> Reason:
        """It alone makes the service fail."""
        message = f"{object_type} {object_id} cannot be read, though the REST service answers: {error}"
        hint = "look for the object in Kentico's administration and its event log, then redrive this letter"
        return self.reason(object_id, ErrorClass.VALIDATION, "unreadable_object", message, hint, site, error)

    def absent(self, object_type: str, object_id: int, site: str | None = None) -> Reason:
        """It is not there."""
        message = f"{object_type} {object_id} of instance {self.instance} does not exist"
        hint = "it was deleted, or the hint came from another database; if it exists now, redrive this letter"
        return self.reason(object_id, ErrorClass.VALIDATION, "not_found", message, hint, site, None)

    def reason(
        self,
        object_id: int,
        of: ErrorClass,
        code: str,
        message: str,
        hint: str,
        site: str | None,
        error: BaseException | None,
    ) -> Reason:
        store = None if site is None else f"{self.instance}/{site}"
        return Reason(of, code, message, hint, store=store, natural_key=f"{self.instance}|{object_id}", exception=error)
