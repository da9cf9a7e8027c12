# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where a container may connect to outside the platform, as the catalog says it.

A destination is `internet` (public addresses), `any`, an address, a network or a name, each with a
port or without: `internet:443`, `10.0.0.0/8`, `10.1.2.3:5432`, `[fd00::5]:443`, `git.example:443`.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

INTERNET, ANY = "internet", "any"
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
EXPECTED = (
    "internet, an address, a network or a host name, with a port or without: internet:443, "
    "10.0.0.0/8, 10.1.2.3:5432, [fd00::5]:443, git.example.internal:443"
)


@dataclass(frozen=True)
class Destination:
    """One entry of `egress`: one of kind, network and name is set; port 0 means every port."""

    kind: str = ""
    network: str = ""
    name: str = ""
    port: int = 0


def parse(text: object) -> Destination:
    """An entry as its parts."""
    if not isinstance(text, str):
        raise Unusable(f"{text!r} is no destination; expected {EXPECTED}")
    place, port = _split(text.strip())
    if place in (INTERNET, ANY):
        return Destination(kind=place, port=port)
    try:
        return Destination(network=str(ipaddress.ip_network(place)), port=port)
    except ValueError as error:
        # 10.0.0.1/8 and 300.1.1.1 are meant as addresses, and no name ends in digits.
        if "/" in place or not _NAME.fullmatch(place.lower()) or place.rpartition(".")[2].isdigit():
            raise Unusable(f"{text!r} ({error}); expected {EXPECTED}") from error
    return Destination(name=place.lower(), port=port)


def _split(text: str) -> tuple[str, int]:
    bracketed = re.fullmatch(r"\[([^]]+)\](?::(.*))?", text)
    if bracketed:
        place, port = bracketed.groups()
    elif text.count(":") == 1:
        place, port = text.split(":")
    else:
        return text, 0
    if port is None:
        return place, 0
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Unusable(f"{text!r} has port {port!r}; expected {EXPECTED}")
    return place, int(port)


def resolve(name: str) -> list[str]:
    """The addresses of a name, as this host's resolver knows them now; none where it knows none."""
    try:
        found = socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return []
    return sorted({entry[4][0] for entry in found})


def resolvers(*files: str) -> list[str]:
    """Name servers of the given resolv.conf texts; one on loopback no container could ask."""
    found = []
    for text in files:
        for line in text.splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver":
                found.append(words[1].partition("%")[0])
    known = []
    for address in dict.fromkeys(found):
        try:
            if not ipaddress.ip_address(address).is_loopback:
                known.append(address)
        except ValueError:
            continue
    return known
