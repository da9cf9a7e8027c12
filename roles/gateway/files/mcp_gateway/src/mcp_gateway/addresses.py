"""Where a request comes from: the peer itself, or whom a load balancer names."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from typing import Any

log = logging.getLogger("mcp_gateway.addresses")
RESOLVE_SECONDS = 2.0
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parsed(text: str) -> Address | None:
    """The address in `text`; an IPv4 one in IPv6 clothes is an IPv4 one."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def bucket(text: str) -> str:
    """What one client can be expected to hold: an IPv4 address, or an IPv6 network of 64 bits."""
    address = parsed(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address or text)


class Proxies:
    """The load balancers in front (listen.trusted_proxies) and the other replicas.

    Their connections belong to many clients, and `X-Forwarded-For` of theirs is believed.
    """

    def __init__(self, entries: list[str], is_bridge: bool = False) -> None:
        self._is_bridge = is_bridge
        self._networks: list[Network] = []
        self._names: list[str] = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._names.append(entry)
        self._by_name: dict[str, set[Address]] = {}
        self._resolved: set[Address] = set()

    async def resolve(self) -> None:
        """Look the names up anew; one that cannot be found stands for nobody."""
        found = await asyncio.gather(*(_addresses(name) for name in self._names))
        self._by_name = dict(zip(self._names, found, strict=True))
        self._resolved = set().union(*found)

    def stands_for(self, name: str | None, address: str | None) -> bool:
        """Whether one of these names has an address, as it was looked up last."""
        return parsed(address or "") in self._by_name.get(name or "", ())

    def trusts(self, peer: str) -> bool:
        """Whether the peer is one of these load balancers."""
        if not (self._networks or self._resolved):
            return False
        address = parsed(peer)
        if address is None:
            return False
        return address in self._resolved or any(address in n for n in self._networks)

    def speaks_for_many(self, peer: str) -> bool:
        """Whether the peer's connections are those of many clients: in a bridge, everybody's."""
        return self._is_bridge or self.trusts(peer)

    def client_of(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> str:
        """Where a request comes from, past our own load balancers."""
        return self.client(_peer(scope), headers.get(b"x-forwarded-for"))

    def charged(self, scope: dict[str, Any], address: str) -> str:
        """Whom wrong credentials count against; nobody when a balancer told no client."""
        peer = _peer(scope)
        return "" if address == peer and self.trusts(peer) else address

    def client(self, peer: str, forwarded: bytes | None) -> str:
        """The client's address: the last one of `X-Forwarded-For` that is no proxy of ours."""
        if forwarded is None or not self.trusts(peer):
            return peer
        client = peer
        for hop in reversed(forwarded.decode("latin-1").split(",")):
            if parsed(hop.strip()) is None:
                break
            client = hop.strip()
            if not self.trusts(client):
                break
        return client


def _peer(scope: dict[str, Any]) -> str:
    """The other end of a request's connection."""
    return str(scope["client"][0]) if scope.get("client") else ""


async def _addresses(name: str) -> set[Address]:
    found: set[Address] = set()
    with contextlib.suppress(OSError, TimeoutError, UnicodeError):
        async with asyncio.timeout(RESOLVE_SECONDS):
            loop = asyncio.get_running_loop()
            for *_, socket_address in await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM):
                address = parsed(str(socket_address[0]))
                if address is not None:
                    found.add(address)
    if not found:
        log.info("listen.trusted_proxies: %s has no address; nothing is believed of it", name)
    return found
