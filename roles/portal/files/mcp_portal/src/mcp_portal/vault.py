"""People's credentials for tool servers, encrypted: sealed here, opened by the gateway alone.

A record belongs to one person, one server and what that server's name stood for (its audience),
which AES-GCM vouches for. What somebody stored is never shown again: here it is only asked whether
the gateway can open it, and opened to be revoked where it came. `mcp_gateway.vault` reads these
records, and renews those with a grant.
"""

from __future__ import annotations

import hashlib
import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PURPOSE = "intranet-mcp credentials"
MIN_KEY = 32


class Record(msgspec.Struct, array_like=True, frozen=True):
    """One credential as it is kept. Only `sealed` is secret."""

    key: bytes
    stored_at: int
    nonce: bytes
    sealed: bytes


class Grant(msgspec.Struct, frozen=True):
    """What an authorization server handed out for somebody: the JSON text of such a record.

    `id` stays the same when tokens are renewed. `expires_at` is in seconds since 1970, 0 where the
    server does not tell; `refresh_token` is empty where there is none.
    """

    id: str
    access_token: str
    refresh_token: str = ""
    expires_at: int = 0

    def __repr__(self) -> str:
        return f"Grant({self.id})"


class Vault:
    """Seals with one key, which the gateway has, too, and Redis has not."""

    def __init__(self, secret: str) -> None:
        if len(secret) < MIN_KEY:
            raise ValueError(f"found {len(secret)} characters, expected at least {MIN_KEY}")
        key = HKDF(SHA256(), 32, None, PURPOSE.encode()).derive(secret.encode())
        self._cipher = AESGCM(key)
        self._name = hashlib.sha256(key).digest()[:4]

    def seal(
        self, person: str, server: str, token: str, stored_at: int, audience: str = ""
    ) -> bytes:
        """Return the record of a credential."""
        nonce, bound = os.urandom(12), _bound_to(person, server, audience, stored_at)
        sealed = self._cipher.encrypt(nonce, token.encode(), bound)
        return msgspec.msgpack.encode(Record(self._name, stored_at, nonce, sealed))

    def stored_at(self, person: str, server: str, kept: bytes, audience: str = "") -> int | None:
        """Return when a record was stored; None where the gateway cannot open it."""
        opened = self._open(person, server, kept, audience)
        return opened[0] if opened is not None else None

    def grant(self, person: str, server: str, kept: bytes, audience: str = "") -> Grant | None:
        """Return the grant of a record; None where it has none, or cannot be opened."""
        opened = self._open(person, server, kept, audience)
        try:
            return msgspec.json.decode(opened[1], type=Grant) if opened is not None else None
        except (msgspec.DecodeError, ValueError):
            return None

    def _open(
        self, person: str, server: str, kept: bytes, audience: str
    ) -> tuple[int, bytes] | None:
        try:
            record = msgspec.msgpack.decode(kept, type=Record)
            bound = _bound_to(person, server, audience, record.stored_at)
            return record.stored_at, self._cipher.decrypt(record.nonce, record.sealed, bound)
        except (InvalidTag, msgspec.DecodeError, ValueError):
            return None


def _bound_to(person: str, server: str, audience: str, stored_at: int) -> bytes:
    return msgspec.msgpack.encode([PURPOSE, person, server, audience, stored_at])
