"""What the tests share: a portal on a real socket, and the services that it asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import httpx2
import msgspec
import uvicorn
from mcp_portal.app import build
from mcp_portal.settings import Config, checked
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

PORTAL_KEY = "sk-the-portals-own"
ROUTES = ["/v1/chat/completions", "/key/info"]
SITE = {
    "litellm_url": "https://ai.example.internal",
    "gateway_url": "https://ai.example.internal/mcp",
    "models": [
        {"name": "qwen3:8b", "context": 40960, "max_output": 8192, "capabilities": ["tools"]}
    ],
    "servers": {"files": "Shared files", "tickets": "The ticket system"},
    "files": [{"path": "install.sh", "content": "#!/bin/sh\necho installed for $HOME\n"}],
    "teams": {
        "payments": {
            "clients": [
                {
                    "name": "codex",
                    "title": "Codex",
                    "files": [{"path": ".codex/config.toml", "content": 'model = "qwen3:8b"\n'}],
                }
            ],
            "files": [{"path": "files/key", "content": "sk-intranet-mcp-portal-key\n"}],
        }
    },
}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Served:
    """An ASGI application on a port of this machine."""

    def __init__(self, app: Any, port: int | None = None, **options: Any) -> None:
        self.app, self.port = app, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(app, port=self.port, log_config=None, **options)
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._loop = asyncio.new_event_loop()
        self._ends = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        ends_at = time.monotonic() + 20
        while not self._server.started:
            assert self._thread.is_alive(), "the application did not start"
            assert time.monotonic() < ends_at, "the application did not start in time"
            time.sleep(0.005)

    def stop(self) -> None:
        """End it, unless a test did."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._ends.set)
        self._thread.join(20)

    def call(self, asked: Coroutine[Any, Any, Any]) -> Any:
        """Return what something of the application's own returns, in its thread."""
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(20)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        """Until `stop`; uvicorn's own end takes a fifth of a second, of which a test has three."""
        server = self._server
        await server.startup()
        while not self._ends.is_set():
            await server.on_tick(0)  # the date of each answer
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ends.wait(), 1)
        for opened in server.servers:
            opened.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        if tasks := list(server.server_state.tasks):
            await asyncio.wait(tasks, timeout=1)
        for task in tasks:
            task.cancel()
        await server.lifespan.shutdown()


class Redis(fakeredis.TcpFakeServer):
    """A Redis of this process. The code under test may have to wait for it: machines are busy."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), server_type="redis")
        # It looks this often, in seconds, whether it has to end.
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.server_address[1]}/{database}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class FakeLitellm:
    """LiteLLM as far as the portal asks it; `asked` has what it was asked."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.status = 200
        self.model = "qwen3:8b"
        # What a path answers in place of what it should.
        self.replies: dict[str, Any] = {}
        # What happens, once, while a path is asked: somebody else is faster.
        self.meanwhile: dict[str, Callable[[], object]] = {}
        handlers = {
            ("GET", "/user/info"): self._user_info,
            ("POST", "/user/new"): self._user_new,
            ("POST", "/key/generate"): self._generate,
            ("GET", "/key/list"): self._list,
            ("POST", "/key/block"): self._block,
            ("POST", "/key/delete"): self._delete,
            ("GET", "/key/info"): self._key_info,
            ("GET", "/v1/models"): self._models,
            ("GET", "/team/info"): self._team,
            ("GET", "/user/daily/activity"): self._activity,
        }
        routes = [Route(p, self._guarded(h), methods=[m]) for (m, p), h in handlers.items()]
        self.served = Served(Starlette(routes=routes))

    def live_keys(self) -> list[dict[str, Any]]:
        return list(self.keys.values())

    def _guarded(self, handler: Any) -> Any:
        async def answer(request: Request) -> JSONResponse:
            self.asked.append(request.url.path)
            if happens := self.meanwhile.pop(request.url.path, None):
                await asyncio.to_thread(happens)
            if self.status != 200:
                return JSONResponse({"error": {"message": "sk-secret"}}, self.status)
            key = request.headers["authorization"].removeprefix("Bearer ")
            if key != PORTAL_KEY and request.url.path not in self.keys.get(key, {}).get(
                "allowed_routes", []
            ):
                return JSONResponse({"error": {"message": "no"}}, 401)
            if request.url.path in self.replies:
                return JSONResponse(self.replies[request.url.path])
            body = await request.json() if request.method == "POST" else {}
            return handler(body, dict(request.query_params))

        return answer

    def _user_info(self, _body: dict, query: dict) -> JSONResponse:
        if query["user_id"] not in self.users:
            return JSONResponse({"detail": "not found"}, 404)
        return JSONResponse({"user_info": self.users[query["user_id"]]})

    def _user_new(self, body: dict, _query: dict) -> JSONResponse:
        self.users[body["user_id"]] = body
        return JSONResponse(body)

    def _generate(self, body: dict, _query: dict) -> JSONResponse:
        key = f"sk-made-{len(self.asked)}"
        self.keys[key] = {**body, "token": f"hash-{key}"}
        return JSONResponse({"key": key})

    def _list(self, _body: dict, query: dict) -> JSONResponse:
        # As a LiteLLM that ignores the filter would.
        keys = self.live_keys()
        if query.get("expand") == "user":
            keys = [{**key, "user": self.users.get(key["user_id"])} for key in keys]
        return JSONResponse({"keys": keys, "total_pages": 1})

    def _find(self, given: str) -> str:
        return next(k for k, key in self.keys.items() if given in (k, key["token"]))

    def _block(self, body: dict, _query: dict) -> JSONResponse:
        self.keys[self._find(body["key"])]["blocked"] = True
        return JSONResponse({})

    def _delete(self, body: dict, _query: dict) -> JSONResponse:
        for given in body["keys"]:
            key = self.keys.pop(self._find(given))
            assert key.get("blocked") or "expires" in key, "other replicas still take it"
        return JSONResponse({})

    def _key_info(self, _body: dict, _query: dict) -> JSONResponse:
        return JSONResponse({"info": {}})

    def _models(self, _body: dict, _query: dict) -> JSONResponse:
        return JSONResponse({"data": [{"id": self.model}, {"id": "company-large"}]})

    def _team(self, _body: dict, query: dict) -> JSONResponse:
        info = {"team_id": query["team_id"], "spend": 12.5, "max_budget": 100.0, "rpm_limit": 600}
        return JSONResponse({"team_info": {**info, "tpm_limit": None, "budget_duration": "30d"}})

    def _activity(self, _body: dict, query: dict) -> JSONResponse:
        metrics = {"api_requests": 3, "total_tokens": 4200, "spend": 0.25}
        row = {"date": query["end_date"], "metrics": metrics}
        return JSONResponse({"results": [row], "metadata": {"total_pages": 1}})


class FakeGateway:
    """The gateway's list of tools, two pages of it, for keys that LiteLLM knows."""

    def __init__(self, litellm: FakeLitellm) -> None:
        self._litellm = litellm
        routes = [Route("/mcp", self._mcp, methods=["POST"]), Route("/health", self._health)]
        self.served = Served(Starlette(routes=routes))

    async def _health(self, _request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def _mcp(self, request: Request) -> JSONResponse:
        key = request.headers["authorization"].removeprefix("Bearer ")
        if key not in self._litellm.keys:
            error = {"code": -31001, "message": "the credential is not valid or has expired"}
            return JSONResponse({"jsonrpc": "2.0", "id": 1, "error": error}, 401)
        message = await request.json()
        if "cursor" not in message["params"]:
            tools = [{"name": "files__read_file", "description": "Reads <b>a file</b>"}]
            result = {"tools": tools, "nextCursor": "2"}
        else:
            result = {"tools": [{"name": "files__write_file", "description": "Writes a file"}]}
        return JSONResponse({"jsonrpc": "2.0", "id": 1, "result": result})


class Browser:
    """Somebody's browser at the portal."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.http = httpx2.Client(timeout=20, trust_env=False)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.http.get(self.base + path, **options)

    def submit(self, page: str, path: str, **fields: str) -> httpx2.Response:
        """Send a form of a page, with the token that the page has for it."""
        token = re.search(r'name="csrf" value="([^"]+)"', self.get(page).text)
        assert token, f"{page} has no form"
        return self.http.post(self.base + path, data={"csrf": token[1], **fields})


def configuration(
    folder: Path, issuer: str, litellm: str, gateway: str, port: int, **changes: Any
) -> Config:
    """A configuration with its files."""
    for name, text in (("client", "a-client-secret-of-the-tests"), ("key", PORTAL_KEY)):
        (folder / name).write_text(text)
    (folder / "site.json").write_text(json.dumps(SITE))
    teams = [
        {"group": "dev-payments", "team": "payments"},
        {"group": "research", "team": "research"},
    ]
    raw = {
        "listen": {"public_url": f"http://127.0.0.1:{port}", "port": port},
        "oidc": {
            "issuer": issuer,
            "client_id": "intranet-mcp",
            "client_secret_file": str(folder / "client"),
            "teams": teams,
            **changes.pop("oidc", {}),
        },
        "litellm": {"url": litellm, "key_file": str(folder / "key"), "routes": ROUTES},
        "gateway_url": gateway,
        "site_file": str(folder / "site.json"),
        **changes,
    }
    return checked(msgspec.convert(raw, Config))


@contextlib.contextmanager
def running(config: Config) -> Iterator[Served]:
    served = Served(build(config), config.listen.port)
    try:
        yield served
    finally:
        served.stop()
