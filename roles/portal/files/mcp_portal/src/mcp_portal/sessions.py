"""Sessions: a cookie with a random id, and what belongs to it in the store, sealed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Any

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_portal.seal import Seal
from mcp_portal.store import Store

# Between the first click and the way back from the provider.
SIGN_IN_SECONDS = 900
# Asked by programs, whom no session belongs to.
UNBOUND = ("/health", "/checks")


class Session(dict[str, Any]):
    """What is known of one browser. `id` is in its cookie and nowhere else."""

    def __init__(self, id_: str = "", values: dict[str, Any] | None = None) -> None:
        super().__init__(values or {})
        self.id = id_
        self.replaces = ""
        self._loaded = msgspec.json.encode(self)

    @property
    def has_changed(self) -> bool:
        return msgspec.json.encode(self) != self._loaded

    @property
    def csrf(self) -> str:
        """The token that forms send back."""
        if "csrf" not in self:
            self["csrf"] = secrets.token_urlsafe(24)
        return str(self["csrf"])

    def accepts(self, token: object) -> bool:
        """Whether a form was made for this very session."""
        known = self.get("csrf")
        return bool(known) and hmac.compare_digest(str(token or "").encode(), str(known).encode())

    def renew(self) -> None:
        """Take another id, so that one planted before the sign-in is worth nothing after it."""
        self.replaces, self.id = self.id, secrets.token_urlsafe(32)

    def seconds_left(self, lifetime: int) -> int:
        """How long it lasts: counted from the sign-in, whatever is done with it."""
        signed_in_at = self.get("signed_in_at")
        if signed_in_at is None:
            return SIGN_IN_SECONDS
        return max(0, int(signed_in_at + lifetime - time.time()))


class Sessions:
    """Loads and keeps the session of each request; plain ASGI, so that nothing is buffered."""

    def __init__(
        self, app: ASGIApp, store: Store, seal: Seal, lifetime: int, is_secure: bool
    ) -> None:
        self._app, self._store, self._seal, self._lifetime = app, store, seal, lifetime
        # The browser itself refuses a __Host- cookie that another host or a plain page has set.
        self._cookie = "__Host-portal" if is_secure else "portal"
        self._attributes = "; HttpOnly; SameSite=Lax; Path=/" + ("; Secure" if is_secure else "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNBOUND:
            await self._app(scope, receive, send)
            return
        session = await self._load(HTTPConnection(scope).cookies.get(self._cookie, ""))
        scope["session"] = session

        async def keeping(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._keep(session, MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, keeping)

    async def _load(self, id_: str) -> Session:
        kept = await self._store.get(name_of(id_)) if 20 <= len(id_) <= 80 else None
        values = self._seal.open("session", id_, kept)
        if values is None:
            return Session()
        session = Session(id_, values)
        return session if session.seconds_left(self._lifetime) else Session()

    async def _keep(self, session: Session, headers: MutableHeaders) -> None:
        if session.replaces:
            await self._store.delete(name_of(session.replaces))
        if not session:
            if session.id:
                await self._store.delete(name_of(session.id))
                self._drop(headers)
            return
        if not session.has_changed:
            return
        is_new = not session.id or bool(session.replaces)
        session.id = session.id or secrets.token_urlsafe(32)
        value = self._seal.close("session", session.id, session)
        seconds = max(1, session.seconds_left(self._lifetime))
        put = self._store.put if is_new else self._store.replace
        if await put(name_of(session.id), value, seconds) is False:
            # It was ended while it was asked: what is written now must not bring it back.
            self._drop(headers)
            return
        if "person" in session:
            await self._store.note(
                index_of(session["person"]["id"]), name_of(session.id), self._lifetime
            )
        if is_new or "person" in session:
            cookie = f"{self._cookie}={session.id}; Max-Age={seconds}{self._attributes}"
            headers.append("set-cookie", cookie)

    def _drop(self, headers: MutableHeaders) -> None:
        """Have the browser forget its cookie."""
        headers.append("set-cookie", f"{self._cookie}=; Max-Age=0{self._attributes}")


async def has_ended(store: Store, session: Session) -> bool:
    """Whether a session was ended since it was loaded."""
    return await store.get(name_of(session.id)) is None


async def end_all(store: Store, person: str) -> int:
    """End every session of a person, at every replica; return how many there were.

    A terminal that found its session just before that ended was noted by then: hence once more.
    """
    index, ended = index_of(person), 0
    while names := await store.noted(index):
        ended += await store.delete(*names)
        await store.unnote(index, names)
    return ended


def name_of(id_: str) -> str:
    """Where the store keeps a session."""
    return "session:" + hashlib.sha256(id_.encode()).hexdigest()


def index_of(person: str) -> str:
    """Where the store keeps the names of a person's sessions."""
    return f"sessions-of:{person}"
