"""What belongs to a secret that somebody was handed: a code, or a token. Sealed, in the store."""

from __future__ import annotations

import hashlib
from typing import Any

from mcp_portal.seal import Seal
from mcp_portal.store import Store


class Kept:
    """Values of the store by a secret, of which the store has the hash alone."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store, self._seal = store, seal

    async def put(self, kind: str, secret: str, value: object, seconds: int) -> None:
        await self._store.put(name(kind, secret), self._seal.close(kind, secret, value), seconds)

    async def replace(self, kind: str, secret: str, value: object, seconds: int) -> bool:
        """Put a value in the place of one that is there; tell whether one was."""
        sealed = self._seal.close(kind, secret, value)
        return await self._store.replace(name(kind, secret), sealed, seconds)

    async def get(self, kind: str, secret: str) -> Any:
        return self._seal.open(kind, secret, await self._store.get(name(kind, secret)))

    async def taken(self, kind: str, secret: str) -> Any:
        """The value, which is gone then: of several who ask, one gets it."""
        return self._seal.open(kind, secret, await self._store.take(name(kind, secret)))

    async def delete(self, kind: str, secret: str) -> None:
        await self._store.delete(name(kind, secret))


def name(kind: str, secret: str) -> str:
    """Where the store keeps what belongs to a secret. Never where it keeps sessions."""
    return f"{kind}:" + hashlib.sha256(secret.encode()).hexdigest()
