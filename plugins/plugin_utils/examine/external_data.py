# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Mistakes in what an inventory says of servers that keep its data elsewhere. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.firewall import egress
from ansible_collections.intranet.mcp.plugins.module_utils.topology.external import (
    SECRETS,
    VARIABLES,
    External,
)

# Keys that clients read, and that have no default of their own.
NEEDED = {"postgres": ("name", "user", "max_connections")}
SHOWN = "docs/en/scale-out.md shows it"


def required(groups: list[str], said: dict[str, dict]) -> list[str]:
    """The groups that need a host: those of servers elsewhere need none."""
    return [group for group in groups if not said.get(group, {}).get("host")]


def problems(said: dict[str, dict], site: dict[str, Any]) -> list[Finding]:
    """Everything that is wrong, at once.

    said: what the variable of each service says. site: `groups`, `addresses` and names of the
    platform's hosts (`hosts`), `secrets` that are given, by name, `own_secrets`, whether a cluster
    gets the service's clients' secrets from the site, and `unreadable`, why a file cannot be used.
    """
    found = []
    for service, declared in said.items():
        variable = VARIABLES[service]
        found += _whole(service, variable, declared)
        if declared.get("host"):
            found += _of_server(service, variable, declared, site)
        elif strange := sorted({"port", "tls", "ca_file", "networks"} & {*declared}):
            found.append(
                _problem(
                    f"{variable} has {strange[0]} and no host",
                    "host, where the server is, or none of its keys",
                    f"add {variable}.host; {SHOWN}",
                )
            )
    return found


def _whole(service: str, variable: str, declared: dict):
    """What the inventory says takes the place of all defaults."""
    if lacking := [key for key in NEEDED.get(service, ()) if declared and key not in declared]:
        yield _problem(
            f"{variable} has no {' and '.join(lacking)}",
            f"{', '.join(NEEDED[service])}: whoever sets it sets all of them",
            f"add {', '.join(lacking)} to {variable}; {SHOWN}",
        )


def _of_server(service: str, variable: str, declared: dict, site: dict) -> list[Finding]:
    checks = (_one_place, _address, _tls, _password)
    return [problem for check in checks for problem in check(service, variable, declared, site)]


def _one_place(service: str, variable: str, declared: dict, site: dict):
    if hosts := site["groups"].get(service):
        yield _problem(
            f"{variable}.host is {declared['host']!r}, and group {service} has {', '.join(hosts)}",
            "one of both: a server elsewhere, or hosts that run it",
            f"take the hosts out of group {service}, or leave {variable}.host out",
        )


def _address(service: str, variable: str, declared: dict, site: dict):
    if declared["host"] in site["hosts"]:
        yield _problem(
            f"{variable}.host is {declared['host']!r}, one of the platform's own hosts",
            "a server outside of the platform: containers may not connect to its hosts",
            f"put the host into group {service}, or name another server",
        )
        return
    port = declared.get("port", 1)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        yield _problem(
            f"{variable}.port is {port!r}", "a number 1 to 65535", "correct it, or leave it out"
        )
        return
    place = External(str(declared["host"]), port, tuple(declared.get("networks") or ()))
    for text in place.destinations:
        try:
            is_meant = egress.parse(text).kind == ""
        except Unusable:
            is_meant = False
        if not is_meant:
            key = "networks" if place.networks else "host"
            yield _problem(
                f"{variable}.{key} has {text.rpartition(':')[0]!r}",
                "networks such as 10.20.0.0/24" if place.networks else "a name or an address",
                "correct it",
            )


def _tls(_service: str, variable: str, declared: dict, site: dict):
    path, has_tls = declared.get("ca_file"), declared.get("tls", True)
    if has_tls and not path:
        yield _problem(
            f"{variable} has a host and no ca_file",
            "the authority of its certificate, a PEM file on the control node, since passwords go "
            "there",
            f"add {variable}.ca_file, or tls: false for a server without TLS; {SHOWN}",
        )
    elif path and not has_tls:
        yield _problem(
            f"{variable} has ca_file and tls: false",
            "one of both",
            "leave tls out, or ca_file",
        )
    elif path and (reason := site["unreadable"](path)):
        yield _problem(
            f"{variable}.ca_file is {path}: {reason}",
            "a PEM file on the control node",
            "correct the path, {{ inventory_dir }}/... for one beside the inventory",
        )


def _password(service: str, variable: str, _declared: dict, site: dict):
    name = SECRETS[service]
    if name not in site["secrets"] and not site["own_secrets"](service):
        yield Finding(
            "secrets",
            f"{variable} has a host, and there is no secret {name}",
            "the password there: one that is generated here opens nothing",
            f"put it into platform_secrets.{name} (Ansible Vault), or into {site['folder']}/{name}",
        )


def _problem(found: str, expected: str, action: str) -> Finding:
    return Finding("inventory", found, expected, action)
