# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What every backend of HAProxy's configuration is written with. Pure."""

from __future__ import annotations


def health_check(path: str) -> list[str]:
    """The lines that ask a backend's servers whether they are well."""
    return [
        "option httpchk",
        f"http-check send meth GET uri {path} ver HTTP/1.1 hdr Host balancer",
        "http-check expect status 200",
    ]


def server(name: str, place: dict) -> str:
    """The line of a server. place: address, and whether the engine resolves it (is_name)."""
    by_name = " resolvers engine resolve-prefer ipv4 init-addr last,libc,none"
    return f"server {name} {place['address']}{by_name if place['is_name'] else ''}"
