"""What the store keeps of people, encrypted.

Each value can be read only with a secret that a person has (a cookie, a code, a token), of which
the store knows a hash; so who reads Redis learns nothing. And it can be made only with the portal's
own secret, which other services that write to the same Redis do not have. What is kept of somebody
by their id (`members`), which is no secret, has that protection alone.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Seal:
    """Encrypts and decrypts. Every replica has the same own secret."""

    def __init__(self, own: str) -> None:
        self._own = own.encode()

    def close(self, kind: str, secret: str, value: object) -> bytes:
        """Return the value as the store keeps it."""
        return self._cipher(kind, secret).encrypt(msgspec.json.encode(value))

    def open(self, kind: str, secret: str, kept: bytes | None) -> Any:
        """Return the value; None where there is none, or it was made for something else."""
        if kept is None:
            return None
        try:
            return msgspec.json.decode(self._cipher(kind, secret).decrypt(kept))
        except (InvalidToken, msgspec.DecodeError):
            return None

    def _cipher(self, kind: str, secret: str) -> Fernet:
        purpose = f"mcp-portal {kind}".encode()
        key = HKDF(SHA256(), 32, self._own, purpose).derive(secret.encode())
        return Fernet(base64.urlsafe_b64encode(key))
