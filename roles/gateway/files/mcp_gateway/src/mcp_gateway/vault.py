"""How people's credentials for tool servers are kept: encrypted, bound to person and purpose.

The portal writes such records (`mcp_portal.vault`, whose tests read them with this module), and the
gateway reads them. Redis, which holds them, knows no key; a record that is copied to another person
or server, or whose date was changed, does not open. Nor does one of a server whose name stands for
something else now (its audience), so that nobody's credential goes where they did not mean it to.
"""

from __future__ import annotations

import hashlib

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


class Vault:
    """Opens what was sealed with one key."""

    def __init__(self, secret: str) -> None:
        if len(secret) < MIN_KEY:
            raise ValueError(f"found {len(secret)} characters, expected at least {MIN_KEY}")
        key = HKDF(SHA256(), 32, None, PURPOSE.encode()).derive(secret.encode())
        self._cipher = AESGCM(key)
        self._name = hashlib.sha256(key).digest()[:4]

    def open(self, person: str, server: str, kept: bytes, audience: str = "") -> str | None:
        """The credential of just this person for just this server and audience, or None."""
        try:
            record = msgspec.msgpack.decode(kept, type=Record)
            if record.key != self._name:
                return None
            bound = bound_to(person, server, audience, record.stored_at)
            return self._cipher.decrypt(record.nonce, record.sealed, bound).decode()
        except (InvalidTag, ValueError, msgspec.DecodeError):
            return None


def bound_to(person: str, server: str, audience: str, stored_at: int) -> bytes:
    """What a record belongs to, in one encoding that no two of them share."""
    return msgspec.msgpack.encode([PURPOSE, person, server, audience, stored_at])


def place(person: str) -> str:
    """The name of a person's records in Redis: a hash with one field a server."""
    return f"credentials:{person}"
