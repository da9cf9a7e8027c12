"""Who has signed in, for administrators. Names and addresses are sealed with the own secret."""

from __future__ import annotations

import re

import msgspec

from mcp_portal import sessions
from mcp_portal.people import Person
from mcp_portal.seal import Seal
from mcp_portal.store import Store

# How long somebody is known after their last sign-in: longer than any session lasts.
KEEP_DAYS = 90
PLACE = "person:"
ID = re.compile(r"[0-9a-f]{16}")


class Known(msgspec.Struct, frozen=True):
    """Somebody, and when they last signed in; 0 where only LiteLLM knows of them."""

    person: Person
    signed_in_at: int = 0


class Directory:
    """A record a person, which ends by itself."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store, self._seal = store, seal

    async def note(self, person: Person, now: int) -> None:
        sealed = self._seal.close("person", person.id, Known(person, now))
        await self._store.put(PLACE + person.id, sealed, KEEP_DAYS * 86400)

    async def one(self, id_: str) -> Known | None:
        return self._opened(id_, await self._store.get(PLACE + id_))

    async def everybody(self) -> dict[str, Known]:
        """Return people by their ids; what does not open is nobody."""
        found = {}
        for place, kept in (await self._store.below(PLACE)).items():
            id_ = place.removeprefix(PLACE)
            if known := self._opened(id_, kept):
                found[id_] = known
        return found

    async def sessions(self, id_: str) -> int:
        """Return how many sessions and terminals of a person go on."""
        return await self._store.present(await self._store.noted(sessions.index_of(id_)))

    def _opened(self, id_: str, kept: bytes | None) -> Known | None:
        found = self._seal.open("person", id_, kept) if ID.fullmatch(id_) else None
        try:
            return msgspec.convert(found, Known) if found else None
        except msgspec.ValidationError:
            return None  # of another version
