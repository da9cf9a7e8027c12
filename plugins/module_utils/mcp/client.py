# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A small MCP client: real sessions of both eras, over Streamable HTTP, HTTP+SSE and stdio.

Legacy era (up to 2025-11-25): `initialize`, then requests that belong to that session.
Modern era (2026-07-28): no session; every request carries its envelope in `_meta` and headers.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils.mcp.stdio import Command, Stdio

MODERN_VERSION = "2026-07-28"
LEGACY_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")

CLIENT_INFO = {"name": "intranet.mcp", "version": "0.1.0"}
UNSUPPORTED_PROTOCOL_VERSION = -32022
MAX_PAGES = 100
# The key under which a gateway names, in the `_meta` of a list, what it repaired or left out there.
META_FAULTS = "intranet.mcp/faults"

_META = "io.modelcontextprotocol/"
_NAME_FIELDS = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_PLAIN_HEADER = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class RpcError(errors.ServiceError):
    """The server answered a request with a JSON-RPC error."""

    reason = "rpc_error"

    def __init__(self, where: str, method: str, error: dict[str, Any]) -> None:
        self.code = error.get("code")
        self.data = error.get("data")
        super().__init__(
            f"{where} answered {method} with error {self.code} ({error.get('message')})",
            "a result",
            "read the server's log for the cause",
        )


class NotServed(errors.ServiceError):
    """The server does not speak the era that was asked for."""

    reason = "era_not_served"


class StreamableHttp:
    """One endpoint; every message is a POST, answered with JSON or a stream of events."""

    def __init__(self, http: HttpClient) -> None:
        self.http = http
        self.session_id: str | None = None
        self.version: str | None = None

    def __repr__(self) -> str:
        return f"StreamableHttp({self.http.url})"

    def open(self) -> None:
        """There is nothing to open: each message stands alone."""

    def exchange(self, message: dict[str, Any], headers: dict[str, str]) -> dict[str, Any] | None:
        """Send a message; return the answer to it, None for a notification."""
        with self.http.stream("POST", "", body=message, headers=self._headers(headers)) as response:
            session = response.headers.get("Mcp-Session-Id")
            if session:
                self.session_id = session
            content_type = response.headers.get("Content-Type", "").split(";")[0].strip()
            if response.status < 300 and content_type == "text/event-stream":
                return _answer(_events(response, self.http), message, self.http)
            reply = self.http.read(response)
        return _plain_answer(reply, message, self.http)

    def close(self) -> None:
        """End the session; servers may refuse that, and it does not matter then."""
        if self.session_id:
            with contextlib.suppress(errors.ServiceError):
                self.http.request("DELETE", "", headers=self._headers({}))

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        sent = {"Accept": "application/json, text/event-stream", **headers}
        if self.session_id:
            sent["Mcp-Session-Id"] = self.session_id
        if self.version:
            sent.setdefault("MCP-Protocol-Version", self.version)
        return sent


class Sse:
    """The transport before Streamable HTTP: answers come on a GET stream that stays open."""

    def __init__(self, http: HttpClient) -> None:
        self.http = http
        self.version: str | None = None
        self._open = contextlib.ExitStack()
        self._events: Iterator[tuple[str, str]] = iter(())
        self._messages: HttpClient | None = None

    def __repr__(self) -> str:
        return f"Sse({self.http.url})"

    def open(self) -> None:
        """Open the stream and learn where messages go."""
        response = self._open.enter_context(
            self.http.stream("GET", "", headers={"Accept": "text/event-stream"})
        )
        if response.status >= 300:
            _plain_answer(self.http.read(response), {"method": "GET", "id": 0}, self.http)
        self._events = _events(response, self.http)
        for kind, data in self._events:
            if kind == "endpoint":
                self._messages = self.http.at(self._endpoint(data))
                return
        raise _unexpected(self.http, "a stream without the event endpoint")

    def _endpoint(self, data: str) -> str:
        url = urllib.parse.urljoin(self.http.url, data)
        here, there = urllib.parse.urlsplit(self.http.url), urllib.parse.urlsplit(url)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            # The key would go to whoever stands there.
            raise _unexpected(self.http, f"the message endpoint {url} on another origin")
        return url

    def exchange(self, message: dict[str, Any], headers: dict[str, str]) -> dict[str, Any] | None:
        """Post a message; the answer arrives on the stream."""
        reply = self._messages.request("POST", "", body=message, headers=headers)
        if not reply.ok:
            return _plain_answer(reply, message, self.http)
        return _answer(self._events, message, self.http) if "id" in message else None

    def close(self) -> None:
        """Close the stream, which ends the session."""
        self._open.close()


TRANSPORTS = {"streamable_http": StreamableHttp, "sse": Sse, "stdio": Stdio}


class Session:
    """An opened session: who the server is, and requests to it."""

    def __init__(self, transport: Any, era: str) -> None:
        self.transport, self.era = transport, era
        self.version = ""
        self.server: dict[str, Any] = {}
        self.capabilities: dict[str, Any] = {}
        self.instructions = ""
        self.faults: list[dict[str, Any]] = []
        self._last_id = 0

    def __repr__(self) -> str:
        return f"Session({self.era} {self.version} at {self.transport})"

    def open_modern(self) -> None:
        """Ask a server of the modern era who it is."""
        self.version = MODERN_VERSION
        try:
            result = self.request("server/discover", {})
        except (RpcError, errors.Unknown, errors.Refused, errors.Unexpected) as error:
            raise self._not_served(str(error)) from error
        supported = result.get("supportedVersions") or []
        if MODERN_VERSION not in supported:
            raise self._not_served(f"it supports {supported}")
        self._note(result, (result.get("_meta") or {}).get(_META + "serverInfo") or {})

    def open_legacy(self, version: str) -> None:
        """Shake hands with a server of the legacy era."""
        offer = {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT_INFO}
        try:
            result = self.request("initialize", offer)
        except RpcError as error:
            if error.code != UNSUPPORTED_PROTOCOL_VERSION:
                raise
            raise self._not_served(str(error)) from error
        self.version = result.get("protocolVersion", "")
        if self.version not in LEGACY_VERSIONS:
            raise self._not_served(f"it chose protocol version {self.version!r}")
        self.transport.version = self.version
        self._note(result, result.get("serverInfo") or {})
        self.notify("notifications/initialized")

    def tools(self) -> list[dict[str, Any]]:
        """Return all tools, page by page; what a gateway names as mended is in `faults`."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        for _page in range(MAX_PAGES):
            result = self.request("tools/list", dict(cursor))
            found.extend(_list_of(result.get("tools")))
            meta = result.get("_meta")
            faults = meta.get(META_FAULTS) if isinstance(meta, dict) else None
            self.faults += [fault for fault in _list_of(faults) if isinstance(fault, dict)]
            if not result.get("nextCursor"):
                return found
            if cursor.get("cursor") == result["nextCursor"]:
                raise _unexpected(self.transport.http, "a nextCursor that points to itself")
            cursor = {"cursor": result["nextCursor"]}
        raise _unexpected(self.transport.http, f"more than {MAX_PAGES} pages of tools")

    def call(self, tool: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool, given as it was listed."""
        headers = {}
        if self.era == "modern":
            headers = _parameter_headers(tool.get("inputSchema") or {}, arguments)
        return self.request("tools/call", {"name": tool["name"], "arguments": arguments}, headers)

    def request(
        self, method: str, params: dict[str, Any], headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a request and return its result."""
        self._last_id += 1
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        sent = dict(headers or {})
        if self.era == "modern":
            sent.update(self._envelope(message))
        answer = self.transport.exchange(message, sent) or {}
        if "error" in answer:
            raise RpcError(repr(self.transport), method, answer["error"] or {})
        if not isinstance(answer.get("result"), dict):
            raise _unexpected(self.transport.http, f"{str(answer)[:80]!r} to {method}")
        return answer["result"]

    def notify(self, method: str) -> None:
        """Send a notification."""
        self.transport.exchange({"jsonrpc": "2.0", "method": method}, {})

    def close(self) -> None:
        """End the session."""
        self.transport.close()

    def _envelope(self, message: dict[str, Any]) -> dict[str, str]:
        message["params"]["_meta"] = {
            _META + "protocolVersion": self.version,
            _META + "clientInfo": CLIENT_INFO,
            _META + "clientCapabilities": {},
        }
        headers = {"MCP-Protocol-Version": self.version, "Mcp-Method": message["method"]}
        field = _NAME_FIELDS.get(message["method"])
        if field:
            headers["Mcp-Name"] = _header_value(message["params"][field])
        return headers

    def _note(self, result: dict[str, Any], server: dict[str, Any]) -> None:
        self.server = {"name": server.get("name", ""), "version": server.get("version", "")}
        self.capabilities = result.get("capabilities") or {}
        self.instructions = result.get("instructions") or ""

    def _not_served(self, found: str) -> NotServed:
        return NotServed(
            f"{self.transport} does not speak MCP of the {self.era} era ({found})",
            f"a server that does ({MODERN_VERSION if self.era == 'modern' else LEGACY_VERSIONS})",
            "check its version, or do not ask for this era",
        )


@contextlib.contextmanager
def session(
    http: HttpClient | Command, transport: str, era: str, version: str
) -> Iterator[Session]:
    """Open a session of an era (`modern`, `legacy`, or `auto`: the newest the server speaks)."""
    opened = Session(TRANSPORTS[transport](http), "legacy" if transport == "sse" else era)
    try:
        opened.transport.open()
        if opened.era == "auto":
            opened = _newest(opened, version)
        elif opened.era == "modern":
            opened.open_modern()
        else:
            opened.open_legacy(version)
        yield opened
    finally:
        opened.close()


def _newest(opened: Session, version: str) -> Session:
    opened.era = "modern"
    try:
        opened.open_modern()
    except NotServed:
        # A legacy server may have opened a session for the stray request: begin anew.
        opened.close()
        opened = Session(type(opened.transport)(opened.transport.http), "legacy")
        try:
            opened.transport.open()
            opened.open_legacy(version)
        except BaseException:
            opened.close()
            raise
    return opened


def _events(response: Any, http: HttpClient) -> Iterator[tuple[str, str]]:
    """Yield (event, data) of an event stream, for no longer than the timeout."""
    ends_at = time.monotonic() + http.timeout
    kind, data = "message", []
    for raw in http.lines(response):
        line = raw.decode("utf-8", errors="replace").rstrip("\r\n")
        field, _colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and data:
            yield kind, "\n".join(data)
            ends_at = time.monotonic() + http.timeout
        if not line:
            kind, data = "message", []
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)
        if time.monotonic() > ends_at:  # comments keep a stream alive that never answers
            raise errors.TimedOut(
                f"{http.service} at {http.url} sent no message for {http.timeout:g} s",
                "an answer in that time",
                "check the server behind it, or raise timeout",
            )


def _answer(
    events: Iterator[tuple[str, str]], message: dict[str, Any], http: HttpClient
) -> dict[str, Any]:
    for kind, data in events:
        if kind != "message" or not data:
            continue
        try:
            received = json.loads(data)
        except ValueError:
            raise _unexpected(http, f"the event {data[:80]!r}") from None
        is_answer = isinstance(received, dict) and "method" not in received
        if is_answer and received.get("id") == message.get("id"):
            return received
    raise _unexpected(http, f"a stream that ended without an answer to {message['method']}")


def _plain_answer(reply: Any, message: dict[str, Any], http: HttpClient) -> dict[str, Any] | None:
    if reply.status in (401, 403):
        raise errors.Unauthorized(
            f"{http.url} refuses the key (HTTP {reply.status})",
            "a key it accepts",
            "give a valid key, or check who may use this server",
        )
    body = reply.json()
    if isinstance(body, dict) and ("result" in body or _is_rpc_error(body.get("error"))):
        return body
    if reply.ok and "id" not in message:
        return None
    if reply.status == 404:
        raise errors.Unknown(
            f"{http.url} is not found (HTTP 404 {reply.text[:80]!r})",
            "an MCP endpoint",
            "check the address, its path included",
        )
    if 400 <= reply.status < 500:
        raise errors.Refused(
            f"{http.url} refuses {message['method']} (HTTP {reply.status} {reply.text[:80]!r})",
            "a request it accepts",
            "check the address, the transport and the allowed hosts of the server",
        )
    raise _unexpected(http, f"HTTP {reply.status} {reply.text[:80]!r}")


def _is_rpc_error(error: Any) -> bool:
    """Tell JSON-RPC errors from those that web servers send in the same field."""
    return isinstance(error, dict) and isinstance(error.get("code"), int)


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _unexpected(http: HttpClient, found: str) -> errors.Unexpected:
    return errors.Unexpected(
        f"{http.url} sent {found}",
        "messages of the Model Context Protocol",
        "check that the address is an MCP endpoint of this transport, and read its log",
    )


def _header_value(value: str) -> str:
    """Return a header value; what would not survive as one is sent in base64."""
    if _PLAIN_HEADER.fullmatch(value) and not value.startswith("=?base64?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def _parameter_headers(schema: dict[str, Any], arguments: dict[str, Any]) -> dict[str, str]:
    """Repeat arguments in headers where the tool's schema asks for it (`x-mcp-header`)."""
    headers = {}
    for name, part in (schema.get("properties") or {}).items():
        value = arguments.get(name)
        if not isinstance(part, dict) or value is None:
            continue
        if isinstance(value, dict):
            headers.update(_parameter_headers(part, value))
        elif isinstance(part.get("x-mcp-header"), str):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            headers["Mcp-Param-" + part["x-mcp-header"]] = _header_value(text)
    return headers
