"""Requests that only one replica can answer go there.

Most of a session travels inside its id. What cannot (a child process, an open call, the inbox of an
event stream) lives at one replica, whose address is sealed into what the client sends. The request
is passed on with the caller's own credential, so replicas need no trust in each other.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from mcp_gateway.addresses import Proxies
from mcp_gateway.call import Call
from mcp_gateway.config import is_named
from mcp_gateway.httpclient import Client, Response
from mcp_gateway.httpconnection import HttpError
from mcp_gateway.responsewriter import HttpResponseWriter, ResponseWriter
from mcp_gateway.sessions import Sealer

log = logging.getLogger("mcp_gateway.peers")
HOP_HEADER = b"mcp-gateway-hop"
# With its answer the other replica seals the session that it has at the server, so that the next
# request needs no detour.
SESSION_HEADER = b"mcp-gateway-server-session"
# Hop-by-hop headers stay here; the peer's own answer to `host` is its address.
NOT_PASSED = {
    b"host",
    b"connection",
    b"content-length",
    b"transfer-encoding",
    b"accept-encoding",
    b"keep-alive",
    b"te",
    b"upgrade",
    b"x-forwarded-for",
}


class MisdirectedSession(Exception):
    """This request belongs to the replica at `home`."""

    def __init__(self, home: str) -> None:
        super().__init__(home)
        self.home = home


class Peers:
    """Connections to the other replicas."""

    def __init__(self, own_url: str | None, sealer: Sealer) -> None:
        self.own_url = own_url or ""
        self.known: frozenset[str] = frozenset()
        self.proxies = Proxies([])
        self._sealer = sealer
        self._clients: dict[str, Client] = {}

    def send_home(self, call: Call, home: str) -> None:
        """Raise MisdirectedSession when `home` is another replica, and a client sent this here.

        The caller's credential goes there, so a home that is none of ours now is not asked.
        """
        is_other = home != self.own_url and self._knows(home)
        if self.own_url and is_other and HOP_HEADER not in call.headers:
            raise MisdirectedSession(home)

    def _knows(self, home: str) -> bool:
        if home in self.known:
            return True
        named = [urlsplit(peer).hostname for peer in self.known if is_named(home, peer)]
        return any(self.proxies.stands_for(name, urlsplit(home).hostname) for name in named)

    def hand_over(self, call: Call, writer: ResponseWriter, server: str, session: str) -> None:
        """Let the replica that passed this request on use our session at the server."""
        if call.headers.get(HOP_HEADER) != b"1" or call.session is None:
            return
        sealed = self._sealer.seal([server, session], _purpose(call.session.uid))
        writer.add_header(SESSION_HEADER, sealed.encode())

    def _take_over(self, call: Call, sealed: bytes | None) -> None:
        if sealed is None or call.session is None:
            return
        purpose = _purpose(call.session.uid)
        pair = self._sealer.open(sealed.decode("latin-1"), list[str], purpose)
        if pair is not None and len(pair) == 2:
            call.session.upstream[pair[0]] = pair[1]

    async def forward(
        self,
        call: Call,
        writer: HttpResponseWriter,
        home: str,
        method: str,
        target: str,
        body: bytes,
    ) -> bool:
        """Let the replica at `home` answer; False when it cannot be reached."""
        client = self._clients.get(home)
        if client is None:
            client = self._clients[home] = Client(home, connect_timeout=2)
        headers = [
            (n.decode(), v.decode("latin-1"))
            for n, v in call.headers.items()
            if n not in NOT_PASSED
        ]
        headers.append((HOP_HEADER.decode(), "1"))
        headers.append(("x-forwarded-for", call.address))
        try:
            response = await client.request(
                method, headers, body or None, path=target, timeout=None
            )
        except HttpError as error:
            log.warning("replica %s cannot be reached: %s", home, error)
            return False
        try:
            self._take_over(call, response.headers.get(SESSION_HEADER))
            await self._copy(response, writer)
        finally:
            response.close()
        return True

    async def _copy(self, response: Response, writer: HttpResponseWriter) -> None:
        content_type = response.headers.get(b"content-type")
        for name in (b"mcp-session-id", b"www-authenticate", b"retry-after"):
            if name in response.headers:
                writer.add_header(name, response.headers[name])
        if content_type is None or not content_type.startswith(b"text/event-stream"):
            data = await response.read(1 << 30)
            await writer.plain(response.status, data, content_type)
            return
        await writer.start_stream()
        while (chunk := await response.chunk()) is not None:
            await writer.write(chunk)
        await writer.end()

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def _purpose(uid: str) -> str:
    return f"server session of {uid}"
