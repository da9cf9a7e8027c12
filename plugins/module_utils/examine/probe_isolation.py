# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether each container reaches what the catalog says, and nothing else that is the platform's."""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused, Unreachable
from ansible_collections.intranet.mcp.plugins.module_utils.engine import docker
from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import bracketed
from ansible_collections.intranet.mcp.plugins.module_utils.examine import containers, inside
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict

Findings = list[Finding]
# Where clouds hand credentials to whoever asks.
METADATA = ("169.254.169.254", 80)
SSH_PORT = 22


def isolation(name: str, params: dict[str, Any]) -> Findings:
    """Connect from inside each container to every other one, to this host and to the others.

    contacts: as _networks.contacts returns them. managed: this host's ports. neighbours: the other
    hosts, with their addresses and ports.
    """
    found = _containers(params)
    here = [(address, port) for address in _own_addresses() for port in _host_ports(params)]
    elsewhere = [
        (address, port)
        for other in params["neighbours"]
        for address in other["addresses"]
        for port in other["ports"]
    ]
    ports = {contact["service"]: contact["ports"] for contact in params["contacts"]}
    sources = [contact for contact in params["contacts"] if contact["service"] in found]
    with concurrent.futures.ThreadPoolExecutor(len(sources) or 1) as pool:
        asked = {
            source["service"]: {
                **_targets_inside(source["service"], found, ports),
                **dict.fromkeys([*here, *elsewhere, METADATA], ""),
            }
            for source in sources
        }
        reached = pool.map(
            lambda source: inside.reached(
                found[source["service"]]["pid"], [*asked[source["service"]]]
            ),
            sources,
        )
        return [
            judge(f"{name} {source['service']}", source, found, asked[source["service"]], seen)
            for source, seen in zip(sources, reached)  # noqa: B905  targets may run Python 3.9
        ]


def judge(
    name: str,
    contact: dict[str, Any],
    containers: dict[str, dict[str, Any]],
    asked: dict[tuple[str, int], str],
    reached: set[tuple[str, int]],
) -> Finding:
    """Return the verdict over what one container reaches. Pure.

    asked: target -> the service behind it, empty for hosts. A service that shares a network with
    the container is no intruder's way, whichever of the two connects.
    """
    mine = containers[contact["service"]]
    beside = {
        service
        for service, other in containers.items()
        if {*mine["networks"]} & {*other["networks"]}
    }
    allowed = {
        (address, flow["port"]) for flow in contact["flows"] for address in flow["addresses"]
    }
    wrong = sorted(
        f"{service or bracketed(address)}:{port}"
        for (address, port), service in asked.items()
        if (address, port) in reached
        and service not in beside
        and (address, port) not in allowed
        and not (not service and port in contact["here"])
    )
    open_services = {service for target, service in asked.items() if target in reached}
    missing = sorted({*contact["reaches"]} - open_services)
    expected = f"{', '.join(contact['reaches']) or 'no other container'}; no port of a host"
    action = "run site.yml, which renews networks and firewall; then check both with doctor.yml"
    found = _found(open_services, missing, wrong)
    return Finding(name, found, expected, action, status=verdict(not missing and not wrong))


def _found(open_services: set[str], missing: list[str], wrong: list[str]) -> str:
    texts = [f"reaches {', '.join(sorted(open_services - {''})) or 'no other container'}"]
    if missing:
        texts.append(f"cannot reach {', '.join(missing)}")
    if wrong:
        texts.append(f"reaches though nothing declares it: {', '.join(wrong[:20])}")
    return "; ".join(texts)


def _targets_inside(own: str, containers: dict, ports: dict) -> dict[tuple[str, int], str]:
    return {
        (address, port): service
        for service, container in containers.items()
        if service != own
        for address in container["networks"].values()
        for port in ports.get(service, [])
    }


def _host_ports(params: dict[str, Any]) -> list[int]:
    return sorted({*params["managed"], SSH_PORT})


def _own_addresses() -> list[str]:
    """Every address of this host that a container could send to; its loopback is its own."""
    command = ["ip", "-json", "address"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(
            f"this host's addresses are unknown ({error})",
            "iproute2",
            "install it; where that cannot be, declare the check not applicable",
        ) from error
    return [
        address["local"]
        for interface in json.loads(listed.stdout)
        for address in interface.get("addr_info", [])
        if address.get("scope") == "global" and address.get("local")
    ]


def _containers(params: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Running containers of this platform by service: pid, and address by network."""
    engine = docker.Engine(params["socket"])
    found = {}
    listed = containers.of_platform(engine.json(containers.LISTED), params["prefix"])
    for service, entry in listed.items():
        container = engine.json(f"/containers/{entry['Id']}/json")
        joined = container["NetworkSettings"]["Networks"]
        addresses = {name: place["IPAddress"] for name, place in joined.items()}
        pid = container["State"]["Pid"]
        if pid and all(addresses.values()):
            found[service] = {"pid": pid, "networks": addresses}
    if not found:
        raise Unreachable(
            "no container of the platform runs here",
            "running containers to connect from",
            "run site.yml",
        )
    return found
