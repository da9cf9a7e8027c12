# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who holds the ports that services are to have. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import (
    name_of,
    published_ports,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding

LOOPBACKS = ("127.0.0.1", "::1")
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  read from the kernel, nothing is bound here


def port_problems(
    check: str,
    services: dict[str, dict],
    listeners: list[dict],
    containers: list[dict],
    prefix: str,
) -> list[Finding]:
    """Ports that somebody else holds.

    services: name -> {port, publish}. listeners: {address, port, holder, container}. containers as
    the engine lists them.
    """
    ours, others = {}, {}
    for container in containers:
        name = name_of(container)
        holders = ours if name.startswith(prefix) else others
        holders.update(dict.fromkeys(published_ports(container), name))
    problems = []
    for name, service in sorted(services.items()):
        holder = _holder(service, listeners, ours, others, prefix)
        if holder:
            problems.append(
                Finding(
                    check,
                    f"port {service['port']} is held by {holder}",
                    f"free for {name}",
                    "stop that program, or give the service another port in the catalog",
                )
            )
    return problems


def _holder(service, listeners, ours, others, prefix) -> str:
    port = service["port"]
    if not service.get("publish") or port in ours:
        return ""
    if port in others:
        return f"container {others[port]}"
    for listener in listeners:
        if listener["port"] == port and _collide(listener["address"], service["publish"]):
            if listener.get("container", "").startswith(prefix):
                continue
            return listener.get("holder") or "an unknown program"
    return ""


def _collide(address: str, publish: list[str]) -> bool:
    if address in WILDCARDS or set(publish) & set(WILDCARDS):
        return True
    return address in publish or (address in LOOPBACKS and bool(set(publish) & set(LOOPBACKS)))
