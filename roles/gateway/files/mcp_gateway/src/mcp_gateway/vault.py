"""How people's credentials for tool servers are kept: encrypted, bound to person and purpose.

The portal writes such records (`mcp_portal.vault`, whose tests read them with this module), and the
gateway reads them. What an authorization server handed out it also renews. Redis, which holds them,
knows no key; a record that is copied to another person or server, or whose date was changed, does
not open. Nor does one of a server whose name stands for something else now (its audience), so that
nobody's credential goes where they did not mean it to.
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
    """One credential as it is kept. Only `sealed` is secret; AES-GCM vouches for all of it."""

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


class Opened(msgspec.Struct, frozen=True):
    """What was in a record."""

    text: str
    stored_at: int

    def __repr__(self) -> str:
        return f"Opened({self.stored_at})"


class Vault:
    """Opens what was sealed with one key, and seals what is renewed."""

    def __init__(self, secret: str) -> None:
        if len(secret) < MIN_KEY:
            raise ValueError(f"found {len(secret)} characters, expected at least {MIN_KEY}")
        key = HKDF(SHA256(), 32, None, PURPOSE.encode()).derive(secret.encode())
        self._cipher = AESGCM(key)
        self._name = hashlib.sha256(key).digest()[:4]

    def open(self, person: str, server: str, kept: bytes, audience: str = "") -> Opened | None:
        """The credential of just this person for just this server and audience, or None."""
        try:
            record = msgspec.msgpack.decode(kept, type=Record)
            if record.key != self._name:
                return None
            bound = bound_to(person, server, audience, record.stored_at)
            text = self._cipher.decrypt(record.nonce, record.sealed, bound).decode()
        except (InvalidTag, ValueError, msgspec.DecodeError):
            return None
        return Opened(text, record.stored_at)

    def seal(self, person: str, server: str, opened: Opened, audience: str = "") -> bytes:
        """A record in the place of the one that was opened: stored when that was."""
        nonce = os.urandom(12)
        bound = bound_to(person, server, audience, opened.stored_at)
        sealed = self._cipher.encrypt(nonce, opened.text.encode(), bound)
        return msgspec.msgpack.encode(Record(self._name, opened.stored_at, nonce, sealed))


def bound_to(person: str, server: str, audience: str, stored_at: int) -> bytes:
    """What a record belongs to, in one encoding that no two of them share."""
    return msgspec.msgpack.encode([PURPOSE, person, server, audience, stored_at])


def place(person: str) -> str:
    """The name of a person's records in Redis: a hash with one field a server."""
    return f"credentials:{person}"
