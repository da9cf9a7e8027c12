"""The ASGI application: addresses, sessions, and what is answered when something is missing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_portal import credentials, words
from mcp_portal import site as site_file
from mcp_portal.administration import Administration
from mcp_portal.authorization import Authorization
from mcp_portal.checks import Checks
from mcp_portal.device import Device
from mcp_portal.litellm import Keys
from mcp_portal.offers import Offers
from mcp_portal.own_tokens import NAME as OWN_TOKENS
from mcp_portal.own_tokens import OwnTokens
from mcp_portal.pages import HEADERS, PREFIX, on_missing, on_problem, problem
from mcp_portal.portal import NEXT, NotSignedIn, Portal
from mcp_portal.problem import Problem
from mcp_portal.provider import Provider
from mcp_portal.recheck import Recheck
from mcp_portal.sessions import Sessions
from mcp_portal.settings import Config, ConfigError, secret
from mcp_portal.store import MemoryStore, RedisStore, Store
from mcp_portal.tools import Tools

YEAR = 365 * 86400
# How long whoever is just asked about is waited for.
RECHECK_STOP_SECONDS = 3
# Many times what a form has.
MAX_BODY = 65536


def build(config: Config) -> Starlette:
    """Return the application; nothing is asked of anybody yet."""
    store = build_store(config)
    site = site_file.load(config.site_file)
    if site.personal and config.credentials is None:
        servers = ", ".join(site.personal)
        raise ConfigError(f"people have tokens of their own for {servers}: credentials is missing")
    base = f"{config.listen.public_url.rstrip('/')}{PREFIX}"
    tokens = None
    if config.credentials is not None:
        back = f"{base}/{OWN_TOKENS}/callback"
        tokens = credentials.build(config.credentials, site.personal, back)
    portal = Portal(
        config,
        site,
        Provider(config.oidc, f"{base}/callback"),
        Keys(config.litellm),
        Tools(config.gateway_url),
        store,
    )
    return application(portal, tokens)


def build_store(config: Config) -> Store:
    if config.redis_url_file is None:
        return MemoryStore()
    options = {"socket_timeout": 3, "socket_connect_timeout": 3}
    return RedisStore(Redis.from_url(secret(config.redis_url_file), **options))


def application(portal: Portal, tokens: credentials.Store | None = None) -> Starlette:
    """Return the portal's addresses as an application."""
    config = portal.config
    is_secure = config.listen.public_url.startswith("https:")

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        rounds = asyncio.create_task(recheck.run()) if config.recheck_seconds else None
        yield
        if rounds is not None:
            recheck.stop()
            await asyncio.wait([rounds], timeout=RECHECK_STOP_SECONDS)
            rounds.cancel()
            await asyncio.wait([rounds])
        for part in (portal.keys, portal.gateway, portal.store, tokens):
            if part is not None:
                await part.close()

    recheck = Recheck(portal)
    own = OwnTokens(portal, tokens)
    offers = Offers(portal)
    pages = [
        Route(f"/{name}", handler)
        for name, handler in {
            "overview": portal.overview,
            "connect": portal.connect,
            "models": offers.models,
            "tools": offers.tools,
            "usage": portal.usage,
            "status": offers.report,
        }.items()
    ]
    forms = [
        Route(f"/{path}", handler, methods=["POST"])
        for path, handler in {
            "key": portal.key,
            "bundle": portal.bundle,
            "line": portal.line,
            "sign-out": portal.sign_out,
            "end-sessions": portal.end_sessions,
            f"{OWN_TOKENS}/store": own.store,
            f"{OWN_TOKENS}/delete": own.delete,
            f"{OWN_TOKENS}/connect": own.connect,
        }.items()
    ]
    device = Device(portal)
    asked = config.authorization
    programs = Authorization(portal, asked) if asked is not None else None
    below = [
        Route("/device", device.ask),
        Route("/device", device.allow, methods=["POST"]),
        Route("/device/code", device.begin, methods=["POST"]),
        Route("/token", device.token, methods=["POST"]),
        Route("/", portal.home),
        Route("/sign-in", portal.sign_in),
        Route("/callback", portal.callback),
        Route("/install/{code}", portal.install),
        Route("/language/{code}", functools.partial(language, is_secure=is_secure)),
        Route(f"/{OWN_TOKENS}", own.show),
        Route(f"/{OWN_TOKENS}/callback/{{server}}", own.callback),
        *Administration(portal, tokens).routes(),
        *(programs.routes() if programs is not None else ()),
        *pages,
        *forms,
        Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
    ]
    checks = Checks(portal)

    async def check(_request: Request) -> Response:
        return JSONResponse(await checks.told())

    made = Starlette(
        routes=[
            Route("/health", health),
            Route("/checks", check),
            Route(PREFIX, start),
            *(programs.well_known() if programs is not None else ()),
            Mount(PREFIX, Router(below, redirect_slashes=False)),
        ],
        middleware=[
            Middleware(StoreGuard),
            Middleware(BodyLimit),
            Middleware(
                Sessions,
                store=portal.store,
                seal=portal.seal,
                lifetime=config.lifetime_seconds,
                is_secure=is_secure,
            ),
        ],
        exception_handlers={
            Problem: on_problem,
            NotSignedIn: on_not_signed_in,
            404: on_missing,
            405: on_missing,
        },
        lifespan=lifespan,
    )
    # Its redirects would lead to whatever host a request names.
    made.router.redirect_slashes = False
    is_there = {OWN_TOKENS: tokens is not None, "status": config.status_file is not None}
    made.state.hidden = tuple(name for name, there in is_there.items() if not there)
    made.state.administrator_groups = config.administrator_groups
    made.state.recheck = recheck
    return made


class BodyLimit:
    """Keeps a form from filling the memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        got = 0

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > MAX_BODY:
                raise Problem("too_large", 413)
            return message

        await self._app(scope, bounded, send)


class StoreGuard:
    """Answers while the store of sessions is away: nobody can be told from anybody then."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except RedisError as error:
            request = Request({**scope, "session": None}, receive)
            response = problem(request, Problem("store_away", 503, reason=str(error)))
            await response(scope, receive, send)


async def start(_request: Request) -> Response:
    return RedirectResponse(f"{PREFIX}/", 303, headers=HEADERS)


async def health(_request: Request) -> Response:
    """Alive. Who is away beside it is told to whoever needs them."""
    return JSONResponse({"status": "alive"})


async def language(request: Request, is_secure: bool) -> Response:
    """Remember a language, and go back to a page of our own."""
    code, wanted = request.path_params["code"], request.query_params.get("from", "")
    target = f"{PREFIX}/{wanted if wanted in NEXT else ''}"
    response = RedirectResponse(target, 303, headers=HEADERS)
    if code in words.LANGUAGES:
        response.set_cookie(
            words.COOKIE, code, max_age=YEAR, path=PREFIX, secure=is_secure, httponly=True,
            samesite="lax",
        )  # fmt: skip
    return response


def on_not_signed_in(_request: Request, found: Exception) -> Response:
    assert isinstance(found, NotSignedIn)
    return RedirectResponse(f"{PREFIX}/sign-in?next={found.wanted}", 303, headers=HEADERS)
