"""Stage 2: who is calling? Asks the configured authorities; keeps their answers for seconds."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from typing import Protocol

import msgspec

from mcp_gateway import address, envelope, subject
from mcp_gateway.addresses import bucket
from mcp_gateway.refusal import Refusal

MAX_CREDENTIAL = 16_384
MAX_ADDRESSES = 10_000


class Principal(msgspec.Struct, frozen=True):
    """Who is calling. The credential itself is not kept.

    `person` is somebody who signed in at the company, whichever of their credentials they use; ""
    for others. `refusal` says why somebody with a valid credential may use nothing here.
    """

    id: str
    alias: str
    team: str = ""
    groups: tuple[str, ...] = ()
    source: str = ""
    refusal: str = ""
    person: str = ""


ANYONE = Principal(id="anyone", alias="anyone", source="none")


class Unavailable(Exception):
    """The authority could not be asked; this says nothing about the credential."""


class Forbidden(Refusal):
    """A valid credential with which nothing may be used here; `who` is for the audit."""

    def __init__(self, who: Principal) -> None:
        super().__init__("forbidden", 403, envelope.REFUSED, who.refusal)
        self.who = who


class Authority(Protocol):
    """Somebody who knows credentials."""

    name: str

    def accepts(self, token: str) -> bool:
        """Whether the token looks like one of this authority's."""

    def remembers(self, token: str) -> bool:
        """Whether there is an answer that costs nothing, of a token that was seen before."""

    async def identify(self, token: str) -> Principal | None:
        """The caller, None when the token is not valid; Unavailable when nobody can tell."""

    async def close(self) -> None: ...


class AuthFailures:
    """Wrong credentials by the address that they come from: a token bucket each."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # (left, when)

    def _left(self, key: str) -> float:
        left, at = self._buckets.get(key, (float(self.per_minute), 0.0))
        return min(self.per_minute, left + (time.monotonic() - at) * self.per_minute / 60)

    def check(self, address: str) -> None:
        """Refusal with 429 when this address has sent too many."""
        if self.per_minute and address and self._left(bucket(address)) < 1:
            raise Refusal(
                "limit_auth",
                429,
                envelope.BUSY,
                f"more than {self.per_minute} wrong credentials a minute came from your address; "
                "try again in a minute",
                headers={"retry-after": "60"},
            )

    def add(self, address: str) -> None:
        """One more wrong credential."""
        if not self.per_minute or not address:
            return
        key = bucket(address)
        self._buckets[key] = (self._left(key) - 1, time.monotonic())
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)


class Identification:
    """Tries each authority in the configured order."""

    def __init__(
        self,
        authorities: list[Authority],
        *,
        open_to_anyone: bool = False,
        public_url: str | None = None,
        trust_caller_header: bool = False,
        failures: AuthFailures | None = None,
        monitoring_key: str = "",
    ) -> None:
        self.authorities = authorities
        self._open = open_to_anyone
        self._public_url = public_url
        self._trust_caller = trust_caller_header
        self._failures = failures or AuthFailures(0)
        self._monitoring = digest(monitoring_key) if monitoring_key else ""

    def is_monitoring(self, headers: dict[bytes, bytes]) -> bool:
        """Whether this is the monitoring, which sees every server and uses none."""
        if self._open:
            return True
        token = bearer(headers)
        if token is None or not self._monitoring:
            return False
        return hmac.compare_digest(digest(token), self._monitoring)

    async def identify(
        self, headers: dict[bytes, bytes], path: str, address: str = ""
    ) -> Principal:
        """The caller; Refusal with 401 (no or bad credential), 403 or 503 (nobody can tell).

        Also with 429, when too many wrong credentials came from this address: those that are
        known to be good still work from there.
        """
        subject.use(None)
        if self._open:
            return self._on_behalf(ANYONE, headers)
        token = bearer(headers)
        if token is None:
            raise self._unauthorized(headers, path, "no credential was sent", None)
        if len(token) > MAX_CREDENTIAL:
            raise self._unauthorized(headers, path, "the credential is too long", "invalid_token")
        authorities = [a for a in self.authorities if a.accepts(token)]
        is_new = not any(a.remembers(token) for a in authorities)
        if is_new:
            self._failures.check(address)
        principal = await _ask(authorities, token)
        if principal is None:
            if is_new:  # a program that goes on with one wrong key locks nobody out beside it
                self._failures.add(address)
            raise self._unauthorized(
                headers, path, "the credential is not valid or has expired", "invalid_token"
            )
        if principal.refusal:
            raise Forbidden(principal)
        return self._on_behalf(principal, headers)

    def _on_behalf(self, principal: Principal, headers: dict[bytes, bytes]) -> Principal:
        """A trusted outer gateway names its caller, so that sessions of two never mix."""
        if not self._trust_caller or b"mcp-gateway-caller" not in headers:
            return principal
        caller = hashlib.sha256(headers[b"mcp-gateway-caller"]).hexdigest()[:16]
        # The name says nothing that a person's own credential could be shown for.
        return msgspec.structs.replace(principal, id=f"{principal.id}.{caller}", person="")

    def _unauthorized(
        self, headers: dict[bytes, bytes], path: str, message: str, error: str | None
    ) -> Refusal:
        parts = [f'Bearer resource_metadata="{self.metadata_url(headers, path)}"']
        if error:
            parts.append(f'error="{error}"')
        return Refusal(
            "unauthorized",
            401,
            envelope.REFUSED,
            f"{message}; send Authorization: Bearer KEY",
            headers={"www-authenticate": ", ".join(parts)},
        )

    def metadata_url(self, headers: dict[bytes, bytes], path: str) -> str:
        """Where RFC 9728 metadata about `path` is served."""
        return address.metadata_url(base_url(self._public_url, headers), path)

    async def close(self) -> None:
        for authority in self.authorities:
            await authority.close()


async def _ask(authorities: list[Authority], token: str) -> Principal | None:
    """The caller, by the first authority that knows; Refusal with 503 when nobody can tell."""
    unavailable: str | None = None
    for authority in authorities:
        try:
            principal = await authority.identify(token)
        except Unavailable as error:
            unavailable = str(error)
            continue
        if principal is not None:
            return principal
    if unavailable is not None:
        raise Refusal(
            "auth_unavailable",
            503,
            envelope.REFUSED,
            f"the credential cannot be checked right now: {unavailable}",
            headers={"retry-after": "5"},
        )
    return None


def base_url(public_url: str | None, headers: dict[bytes, bytes]) -> str:
    """The gateway's address as its callers know it (the Host was checked by admission)."""
    if public_url:
        return public_url.rstrip("/")
    return "http://" + headers.get(b"host", b"localhost").decode("latin-1")


def bearer(headers: dict[bytes, bytes]) -> str | None:
    """The caller's credential: Authorization: Bearer, or x-api-key style headers."""
    value = headers.get(b"authorization")
    if value is not None:
        scheme, _, token = value.decode("latin-1").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None
    for name in (b"x-litellm-api-key", b"x-api-key"):
        if name in headers:
            token = headers[name].decode("latin-1").strip()
            return token.removeprefix("Bearer ").strip() or None
    return None


def digest(token: str) -> str:
    """SHA-256 of a credential: the only form in which it is kept."""
    return hashlib.sha256(token.encode()).hexdigest()
