"""Legacy sessions without a session store.

A session id is the session: sealed (AES-256-GCM) with a key that all replicas share, it carries
who opened it, what the client can do, and the session ids that upstreams gave out. Any replica
that holds the key goes on where another stopped.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import time
from collections import OrderedDict
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

T = TypeVar("T")


class Session(msgspec.Struct, array_like=True):
    """What a legacy client's `initialize` agreed on."""

    uid: str
    issued: int
    owner: str
    route: str
    version: str
    client: bytes = b"{}"
    capabilities: bytes = b"{}"
    upstream: dict[str, str] = {}
    home: str = ""


class Sealer:
    """Seals small structs into URL-safe text; opens what any listed key sealed.

    The first key seals, all keys open: to rotate, put the new key first and drop the old one when
    the longest session has ended.
    """

    def __init__(self, keys: list[bytes]) -> None:
        self._keys: dict[bytes, AESGCM] = {}
        self._nonce_keys: dict[bytes, bytes] = {}
        self._first = b""
        self.use(keys)

    def use(self, keys: list[bytes]) -> None:
        """Seal with the first of these from now on. Without any, a random one (once)."""
        if not keys and self._keys:
            return
        self._keys, self._nonce_keys = {}, {}
        for key in keys or [secrets.token_bytes(32)]:
            derived = hashlib.sha256(b"intranet-mcp-gateway session" + key).digest()
            name = hashlib.sha256(derived).digest()[:4]
            self._keys[name] = AESGCM(derived)
            self._nonce_keys[name] = hashlib.sha256(b"nonce" + derived).digest()
        self._first = next(iter(self._keys))

    def seal(self, value: object, purpose: str) -> str:
        """Encrypt `value`; only `open` with the same purpose reads it."""
        return self._sealed(os.urandom(12), msgspec.msgpack.encode(value), purpose)

    def seal_again(self, value: object, purpose: str) -> str:
        """As `seal`, with the same text for the same value: it can be found without a memory.

        The nonce is derived from the value under the key, so two values never share one.
        """
        plain = msgspec.msgpack.encode(value)
        named = purpose.encode() + b"\0" + plain
        nonce = hmac.digest(self._nonce_keys[self._first], named, "sha256")[:12]
        return self._sealed(nonce, plain, purpose)

    def _sealed(self, nonce: bytes, plain: bytes, purpose: str) -> str:
        sealed = self._keys[self._first].encrypt(nonce, plain, purpose.encode())
        return base64.urlsafe_b64encode(self._first + nonce + sealed).decode().rstrip("=")

    def open(self, token: str, kind: type[T], purpose: str) -> T | None:
        """What was sealed, or None when the token is not ours or was altered."""
        try:
            blob = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            cipher = self._keys[blob[:4]]
            plain = cipher.decrypt(blob[4:16], blob[16:], purpose.encode())
            return msgspec.msgpack.decode(plain, type=kind)
        except (ValueError, KeyError, InvalidTag, msgspec.DecodeError):
            return None


def read_keys(paths: list[str]) -> list[bytes]:
    """The sealing keys in `paths`, first one first."""
    keys = []
    for path in paths:
        with open(path, "rb") as handle:
            key = handle.read().strip()
        if len(key) < 32:
            raise ValueError(f"{path}: found {len(key)} bytes, expected at least 32 random ones")
        keys.append(key)
    return keys


class Sessions:
    """Issues and opens session ids; remembers the ones it opened lately and those ended here."""

    def __init__(self, sealer: Sealer, max_age_seconds: float, home: str = "") -> None:
        self.sealer = sealer
        self.max_age = max_age_seconds
        self.home = home
        self._cache: OrderedDict[str, Session] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def issue(
        self,
        owner: str,
        route: str,
        version: str,
        client: bytes = b"{}",
        capabilities: bytes = b"{}",
        upstream: dict[str, str] | None = None,
        uid: str | None = None,
    ) -> tuple[str, Session]:
        """A new session and its id."""
        session = Session(
            uid=uid or secrets.token_hex(8),
            issued=int(time.time()),
            owner=owner,
            route=route,
            version=version,
            client=client,
            capabilities=capabilities,
            upstream=upstream or {},
            home=self.home,
        )
        return self.sealer.seal(session, "session"), session

    def open(self, token: str, owner: str, route: str) -> Session | None:
        """The session behind an id; None when forged, expired, ended or somebody else's."""
        session = self._cache.get(token)
        if session is None:
            session = self.sealer.open(token, Session, "session")
            if session is None:
                return None
            self._cache[token] = session
            if len(self._cache) > 4_000:
                self._cache.popitem(last=False)
        if session.owner != owner or session.route != route or session.uid in self._ended:
            return None
        if time.time() - session.issued > self.max_age:
            return None
        return session

    def end(self, token: str, uid: str) -> None:
        """Refuse this session from now on (at this replica; upstreams end theirs for all)."""
        self._cache.pop(token, None)
        self._ended[uid] = None
        if len(self._ended) > 100_000:
            self._ended.popitem(last=False)
