"""Schema ids from a registry with Confluent's API (Confluent, Apicurio /apis/ccompat/v7, Redpanda, Karapace).

Registers each schema as `<topic stem>-value` under BACKWARD compatibility on first use and remembers its id; an id met
on a topic is looked up once.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

from schemas.errors import Incompatible, RegistryUnavailable, UnknownSchema
from schemas.ids import NAMES, current

_RECORD_NAMES = {(current(name)["namespace"], current(name)["name"]): name for name in NAMES}


class SchemaRegistry:
    """A `schemas.codec.Registry` over HTTP. `auth` is (user, password) or None."""

    def __init__(self, url: str, auth: tuple[str, str] | None = None, client: httpx.Client | None = None) -> None:
        self._client = client or httpx.Client(timeout=10.0, auth=auth)
        self._url = url.rstrip("/")
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, tuple[str, dict[str, Any]]] = {}

    def id_of(self, name: str) -> int:
        if name not in self._ids:
            self._ids[name] = self._register(name)
        return self._ids[name]

    def schema(self, schema_id: int) -> tuple[str, dict[str, Any]]:
        if schema_id not in self._schemas:
            answer = self._request("GET", f"/schemas/ids/{schema_id}")
            if answer.status_code == 404:
                raise UnknownSchema(f"the registry at {self._url} has no schema {schema_id}")
            schema = json.loads(self._read(answer)["schema"])
            name = _RECORD_NAMES.get((schema.get("namespace"), schema.get("name")))
            if name is None:
                raise UnknownSchema(f"schema {schema_id} is {schema.get('name')!r}, which is none of ours")
            self._schemas[schema_id] = (name, schema)
        return self._schemas[schema_id]

    def foreign(self, schema_id: int) -> Any:
        """The schema that another producer registered, as JSON values; asked for each time."""
        answer = self._request("GET", f"/schemas/ids/{schema_id}")
        if answer.status_code == 404:
            raise UnknownSchema(f"the registry at {self._url} has no schema {schema_id}")
        found = self._read(answer)
        if found.get("schemaType", "AVRO") != "AVRO" or found.get("references"):
            raise UnknownSchema(f"schema {schema_id} is not Avro in one piece ({found.get('schemaType')})")
        return json.loads(found["schema"])

    def newest(self, name: str) -> dict[str, Any]:
        return current(name)

    def _register(self, name: str) -> int:
        subject = f"k2x.{name}-value"
        self._read(self._request("PUT", f"/config/{subject}", {"compatibility": "BACKWARD"}))
        answer = self._request("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(current(name))})
        if answer.status_code == 409:
            raise Incompatible(
                f"{subject}: the registry refuses the new schema as not BACKWARD compatible: {answer.text[:300]}"
            )
        return int(self._read(answer)["id"])

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        try:
            return self._client.request(method, self._url + path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(f"schema registry {self._url}: {error!r}; check schema_registry.url") from error

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code >= 400:
            raise RegistryUnavailable(f"schema registry {self._url} answered {answer.status_code}: {answer.text[:300]}")
        loaded: dict[str, Any] = answer.json()
        return loaded
