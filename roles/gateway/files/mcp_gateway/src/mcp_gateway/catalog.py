"""What all servers offer, under the names that clients see. Built anew when a server's list does
change, read on every request."""

from __future__ import annotations

import hashlib
import time

import msgspec

from mcp_gateway import envelope, names
from mcp_gateway.faults import Fault

KINDS = ("tools", "prompts", "resources", "resourceTemplates")


class Item(msgspec.Struct, frozen=True):
    """One tool, prompt, resource or template of one server."""

    server: str
    kind: str
    name: str
    exposed: str
    body: msgspec.Raw
    fingerprint: str = ""


class Listing(msgspec.Struct):
    """The last good lists of one server."""

    items: dict[str, list[Item]] = {}
    faults: list[Fault] = []
    info: envelope.Fields = {}
    fetched_at: float = 0.0

    @property
    def age_seconds(self) -> float:
        return time.time() - self.fetched_at if self.fetched_at else 0.0

    def count(self, kind: str) -> int:
        return len(self.items.get(kind, ()))

    @property
    def capabilities(self) -> envelope.Fields:
        return envelope.fields_of(self.info.get("capabilities"))

    def same_as(self, other: Listing) -> bool:
        """Whether clients would see no difference."""
        return {k: [bytes(i.body) for i in v] for k, v in self.items.items()} == {
            k: [bytes(i.body) for i in v] for k, v in other.items.items()
        }


def fingerprint(fields: envelope.Fields) -> str:
    """SHA-256 over what a model reads of a tool: name, description, schemas, annotations."""
    keys = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
    seen = {k: envelope.decode_any(fields[k]) for k in keys if k in fields}
    return hashlib.sha256(msgspec.json.encode(seen, order="sorted")).hexdigest()


class Catalog:
    """Every item of every server by its aggregated name, in a stable order."""

    def __init__(self, listings: dict[str, Listing] | None = None) -> None:
        self.generation = 0
        self.by_name: dict[str, dict[str, Item]] = {k: {} for k in KINDS}
        self._templates: list[tuple[names.Template, Item]] = []
        for server, listing in (listings or {}).items():
            for kind in ("tools", "prompts"):
                for item in listing.items.get(kind, ()):
                    self._add_named(server, kind, item)
            for kind in ("resources", "resourceTemplates"):
                for item in listing.items.get(kind, ()):
                    self._add_uri(server, kind, item)
        for kind in ("tools", "prompts"):
            self.by_name[kind] = dict(sorted(self.by_name[kind].items()))

    def _add_named(self, server: str, kind: str, item: Item) -> None:
        exposed = names.exposed(server, item.name)
        if exposed in self.by_name[kind]:
            exposed = names.hashed(server, item.name)
        fields = envelope.fields_of(item.body)
        fields["name"] = envelope.raw(exposed)
        self.by_name[kind][exposed] = msgspec.structs.replace(
            item, exposed=exposed, body=envelope.raw(fields)
        )

    def _add_uri(self, server: str, kind: str, item: Item) -> None:
        exposed = item.name
        if exposed in self.by_name[kind]:
            exposed = names.exposed_uri(server, item.name)
            member = "uri" if kind == "resources" else "uriTemplate"
            fields = envelope.fields_of(item.body)
            fields[member] = envelope.raw(exposed)
            if exposed in self.by_name[kind]:
                return  # somebody else lists the very URI that would tell them apart
            item = msgspec.structs.replace(item, exposed=exposed, body=envelope.raw(fields))
        self.by_name[kind][exposed] = item
        if kind == "resourceTemplates":
            self._templates.append((names.Template(item.name), item))

    def find_uri(self, uri: str) -> tuple[str, str] | None:
        """(server, original URI) of a resource, by exact name, then template, then prefix."""
        item = self.by_name["resources"].get(uri) or self.by_name["resourceTemplates"].get(uri)
        if item is not None:
            return item.server, item.name
        for template, item in self._templates:
            if template.matches(uri):
                return item.server, uri
        return names.split_uri(uri)
