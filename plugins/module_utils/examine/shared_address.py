# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who holds the address that several balancers share. Pure."""

from __future__ import annotations

import ipaddress
import json

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict


def held(listing: str, addresses: list[str]) -> list[str]:
    """Which of the addresses this host holds, from what `ip -json address` lists."""
    found = {
        ipaddress.ip_address(entry["local"])
        for interface in json.loads(listing)
        for entry in interface.get("addr_info", [])
        if "local" in entry
    }
    return [address for address in addresses if ipaddress.ip_address(address) in found]


def judge(
    check: str, found: dict[str, list[str] | None], addresses: list[str], container: str
) -> Finding:
    """Return whether exactly one balancer holds all addresses; nobody may be able to tell.

    found: balancer -> addresses it holds, None where it could not be asked. container: that of
    keepalived, by name.
    """
    holders = {host: kept for host, kept in found.items() if kept}
    silent = [host for host, kept in found.items() if kept is None]
    listed = ", ".join(addresses)
    text = "; ".join(f"{host} holds {', '.join(kept)}" for host, kept in holders.items())
    text = text or f"nobody holds {listed}"
    if silent:
        text += f"; not asked: {', '.join(silent)}"
    is_one = len(holders) == 1 and set(addresses) == {*next(iter(holders.values()))}
    is_unknown = bool(silent) and (is_one or not holders)
    action = (
        "check the silent host"
        if is_unknown
        else f"read docker logs {container} on the balancers: they must hear each other (IP "
        "protocol 112, not filtered between them), and HAProxy must answer where it is to be held"
    )
    expected = f"exactly one of {len(found)} balancers holds {listed}"
    return Finding(check, text, expected, action, status=verdict(None if is_unknown else is_one))
