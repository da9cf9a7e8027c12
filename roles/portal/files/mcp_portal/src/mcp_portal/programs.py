"""Programs that register themselves (RFC 7591): what they may be, and their ids. Pure.

Nothing is stored of them. A program's id is what it registered, sealed: it is as good at every
replica, nobody fills a store with registrations, and nobody makes one up. (RFC 7591, A.5.2, names
such registrations stateless.) Being registered allows nothing; a person does, each time.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from authlib.oauth2.rfc6749 import ClientMixin

from mcp_portal.seal import Seal

SCOPE = "mcp"
GRANT_TYPES = ("authorization_code", "refresh_token")
# How long an id can be used to begin a log-in. Programs keep theirs, and cannot be told of another.
SECONDS = 365 * 86400
MAX_ID = 4096
MAX_NAME = 80
# A program on the person's own machine (RFC 8252, 7.3): its port is another one each time. So plain
# that no two readers can find different hosts in it.
_LOOPBACK = re.compile(
    r"http://(127\.0\.0\.1|\[::1\]|localhost)(?::([1-9][0-9]{0,4}))?((?:/[A-Za-z0-9._~/-]*)?)"
)

_Uri = Annotated[str, msgspec.Meta(max_length=200)]


class Refused(Exception):
    """A registration that cannot be; `error` is as RFC 7591, 3.2.2, calls it."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error, self.description = error, description


class Metadata(msgspec.Struct):
    """What a program says of itself; everything else that it may say is left out."""

    redirect_uris: Annotated[list[_Uri], msgspec.Meta(min_length=1, max_length=10)]
    client_name: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    grant_types: list[str] | None = None
    response_types: list[str] | None = None

    @property
    def has_code(self) -> bool:
        """Whether it is for codes, as whoever says nothing is (RFC 7591, 2)."""
        return "code" in (self.response_types or ["code"]) and GRANT_TYPES[0] in (
            self.grant_types or GRANT_TYPES
        )


class _Registered(msgspec.Struct, frozen=True, array_like=True):
    name: str
    redirect_uris: list[str]
    at: int


@dataclass(frozen=True)
class Program(ClientMixin):
    """A registered program: a public client, as Authlib asks for one."""

    id: str
    name: str
    redirect_uris: tuple[str, ...]

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.id.encode()).hexdigest()[:32]

    def get_client_id(self) -> str:
        return self.id

    def get_default_redirect_uri(self) -> str:
        return ""  # there is none: each request names its own

    def get_allowed_scope(self, _scope: str) -> str:
        return SCOPE

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return any(is_same(known, redirect_uri) for known in self.redirect_uris)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "none"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in GRANT_TYPES


class Programs:
    """Registers programs, and knows those that were registered."""

    def __init__(self, seal: Seal, elsewhere: Collection[str]) -> None:
        # Addresses that lead to no program of the person's own machine, as the site declared them.
        self._seal, self._elsewhere = seal, frozenset(elsewhere)

    def register(self, body: bytes) -> dict[str, Any]:
        """Return what the program is told of its registration; Refused where it cannot be."""
        try:
            asked = msgspec.json.decode(body, type=Metadata)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refused(
                "invalid_client_metadata", "a JSON object with 1 to 10 redirect_uris is expected"
            ) from None
        if not all(map(self._is_allowed, asked.redirect_uris)):
            raise Refused(
                "invalid_redirect_uri",
                "http addresses of 127.0.0.1, [::1] or localhost are expected, or what this "
                "platform's administrators have declared",
            )
        if not asked.has_code:
            raise Refused(
                "invalid_client_metadata", "there are response_type code and authorization_code"
            )
        known = _Registered(_shown(asked.client_name), asked.redirect_uris, int(time.time()))
        return {
            "client_id": self._seal.close("program", "id", known).decode(),
            "client_id_issued_at": known.at,
            "client_name": known.name,
            "redirect_uris": known.redirect_uris,
            "grant_types": GRANT_TYPES,
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "scope": SCOPE,
        }

    def find(self, id_: str) -> Program | None:
        """Return the program of an id, as far as it may still be led to."""
        if len(id_) > MAX_ID or not id_.isascii():
            return None
        try:
            opened = self._seal.open("program", "id", id_.encode())
            known = msgspec.convert(opened, _Registered)
        except msgspec.ValidationError:
            return None
        allowed = tuple(uri for uri in known.redirect_uris if self._is_allowed(uri))
        if time.time() > known.at + SECONDS or not allowed:
            return None
        return Program(id_, known.name, allowed)

    def _is_allowed(self, uri: str) -> bool:
        return uri in self._elsewhere or _loopback(uri) is not None


def is_same(registered: str, asked: str) -> bool:
    """Whether an address is the registered one, on this machine with any port."""
    known = _loopback(registered)
    return registered == asked or (known is not None and known == _loopback(asked))


def _loopback(uri: str) -> tuple[str, str] | None:
    """Host and path of an address on the person's own machine."""
    found = _LOOPBACK.fullmatch(uri)
    if found is None or int(found[2] or 80) > 65535:
        return None
    return found[1], found[3]


def _shown(name: str) -> str:
    """As a person reads it: nothing that turns the direction of writing or ends a line."""
    return "".join(c for c in name if c.isprintable()).strip()[:MAX_NAME]
