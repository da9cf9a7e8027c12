# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probes of the host a module runs on: disk, clock, ports seen from outside, drift, data stores."""

from __future__ import annotations

import hashlib
import time
from http import HTTPStatus
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.module_utils.engine import definition, docker
from ansible_collections.intranet.mcp.plugins.module_utils.examine import (
    clock,
    containers,
    disk,
    outside,
    shared_address,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    NOT_APPLICABLE,
    Finding,
    verdict,
)

Findings = list[Finding]

# A service that was replaced a moment ago, or a lost packet, is no closed port.
AGAIN_AFTER_SECONDS = 5


def free_space(name: str, params: dict[str, Any]) -> Findings:
    """Free space where the platform's data lies."""
    return [
        disk.judge(f"{name} {found.path}", found, params["free_mb"], "verify_disk_free_mb")
        for found in disk.read(params["paths"])
    ]


def time_of_day(name: str, params: dict[str, Any]) -> Findings:
    """This host's clock beside the control node's, which was read before the task began."""
    tolerance = params["tolerance_seconds"]
    return [clock.judge(name, time.time(), params["control_time"], tolerance)]


def ports(name: str, params: dict[str, Any]) -> Findings:
    """Connect from outside: exactly the declared ports must be open to whoever asks."""
    flows = params["flows"]
    if params["seen_by"] == "other_networks":
        source = outside.undeclared(flows)
        if source is None:
            because = "the declared networks let everybody in, so there is no undeclared one"
            return [Finding(name, because, status=NOT_APPLICABLE)]
    else:
        source = outside.member(flows, outside.addresses_in_use())
        if source is None:
            return [Finding(name, "no network may connect to this host", status=NOT_APPLICABLE)]
    is_usable = "." in params["address"]  # only IPv4 is tried
    target = params["address"] if is_usable else outside.own_address()
    asked = sorted({*params["managed"], *published(params["prefix"], params["socket"])})
    found = outside.try_ports(source, target, asked)
    return [outside.judge(name, found, outside.expected_open(flows, source), source)]


def matrix(name: str, params: dict[str, Any]) -> Findings:
    """Connect to every port of every other host: exactly the declared ones must be open from here.

    neighbours: host, addresses, ports, open; of several addresses each is tried. What should be
    open and is not is tried once more a few seconds later.
    """
    neighbours = params["neighbours"]
    if not neighbours:
        return [Finding(name, "the inventory has no other host", status=NOT_APPLICABLE)]
    asked = [(a, port) for n in neighbours for a in n["addresses"] for port in n["ports"]]
    states = outside.reached(asked)
    missing = [
        (address, port)
        for other in neighbours
        for address in other["addresses"]
        for port in other["open"]
        if states.get((address, port)) != "open"
    ]
    if missing:
        time.sleep(AGAIN_AFTER_SECONDS)
        states.update(outside.reached(missing))
    return [judge_matrix(name, neighbours, states)]


def judge_matrix(
    name: str, neighbours: list[dict[str, Any]], states: dict[tuple[str, int], str]
) -> Finding:
    """Return the verdict over what one host reaches. Pure."""
    found, expected = [], []
    for other in neighbours:
        for address in other["addresses"]:
            place = other["host"] if len(other["addresses"]) == 1 else f"{other['host']} {address}"
            seen = [port for port in other["ports"] if states[(address, port)] == "open"]
            found.append(f"{place}: {_ports(seen)}")
            expected.append(f"{place}: {_ports(other['open'])}")
    action = "run site.yml for the firewall; a closed port may be a service that is down"
    return Finding(
        name, "; ".join(found), "; ".join(expected), action, status=verdict(found == expected)
    )


def _ports(numbers: list[int]) -> str:
    return " ".join(map(str, numbers)) or "nothing"


def holders(name: str, params: dict[str, Any]) -> Findings:
    """Who holds the address that balancers share, as each of them lists its own."""
    addresses = params["addresses"]
    found = {host: _held(listing, addresses) for host, listing in params["listings"].items()}
    return [shared_address.judge(name, found, addresses, params["container"])]


def _held(listing: str, addresses: list[str]) -> list[str] | None:
    try:
        return shared_address.held(listing, addresses)
    except (ValueError, TypeError):
        return None


def published(prefix: str, socket_path: str) -> set[int]:
    """Return the ports that the platform's containers publish beyond loopback."""
    listed = docker.Engine(socket_path).json(containers.LISTED)
    return {
        port["PublicPort"]
        for container in listed
        if containers.is_of_platform(container, prefix)
        for port in container.get("Ports") or []
        if port.get("PublicPort") and not port.get("IP", "").startswith("127.")
    }


def as_defined(name: str, params: dict[str, Any]) -> Findings:
    """Whether what is defined runs, and whether it runs as defined."""
    if not params["defined"]:
        raise Refused(
            "what should run here is not known",
            "definitions of this host's services",
            "run site.yml --check, which says what is wrong with the inventory",
        )
    engine = docker.Engine(params["socket"])
    images = containers.by_tag(engine.json("/images/json"))
    ids = {tag: image["Id"] for tag, image in images.items()}
    running = containers.of_platform(engine.json(containers.LISTED), params["prefix"])
    judged = [_state(engine, spec["name"], running, params["prefix"]) for spec in params["defined"]]
    broken = [found for found in judged if found.is_failed]
    drifted = drift(params["defined"], running, ids)
    drifted += [
        f"{path}: {state}"
        for path, state in ((p, _file_state(p, digest)) for p, digest in params["files"].items())
        if state
    ]
    count = len(params["defined"])
    return [
        Finding(
            f"containers {name}",
            "; ".join(found.found for found in broken) or f"{count} run",
            f"{count} running and healthy",
            "; ".join(dict.fromkeys(found.action for found in broken)),
            status=verdict(not broken),
        ),
        Finding(
            f"drift {name}",
            "; ".join(drifted) or "nothing",
            "nothing that site.yml would change",
            "run site.yml, or correct the inventory if the host is right",
            status=verdict(not drifted),
        ),
    ]


def _state(engine: docker.Engine, service: str, running: dict, prefix: str) -> Finding:
    """Judge the container of a service; one that is removed meanwhile is not there."""
    entry, found = running.get(service), None
    name = docker.name_of(entry) if entry else f"{prefix}{service}"
    try:
        found = containers.read(engine, entry["Id"], {}) if entry else None
    except docker.EngineError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            return Finding("container", f"{name}: {error.found}", error.expected, error.action)
    except (ValueError, KeyError, TypeError) as error:
        told = f"{name}: the engine's answer cannot be read ({error!r})"
        return Finding("container", told, "what the engine says of a container", "try again")
    return containers.judge_state("container", name, service, found)


def drift(
    defined: list[dict[str, Any]], running: dict[str, Any], image_ids: dict[str, str]
) -> list[str]:
    """Return what there is, but not as defined, as sentences. Pure."""
    reasons = {
        spec["name"]: definition.difference(spec, running.get(spec["name"]), image_ids)
        for spec in defined
    }
    changed = [
        f"{name}: {reason}"
        for name, reason in reasons.items()
        if reason in (definition.CHANGED, definition.NEW_IMAGE)
    ]
    return changed + [f"{name}: no longer defined" for name in sorted({*running} - {*reasons})]


def _file_state(path: str, digest: str) -> str:
    try:
        with open(path, "rb") as stream:
            found = hashlib.sha256(stream.read()).hexdigest()
    except FileNotFoundError:
        return "is not there"
    return "" if found == digest else "differs from its template"


def command(name: str, params: dict[str, Any]) -> Findings:
    """A program inside a container, and what it must say."""
    started = time.monotonic()
    status, said, complaint, _both = docker.Engine(params["socket"]).run(
        params["container"], params["argv"]
    )
    took = round((time.monotonic() - started) * 1000, 1)
    is_good = status == 0 and params["contains"] in said
    found = said.strip() if is_good else (said + complaint).strip() or f"exit status {status}"
    action = f"read the log: docker logs {params['container']}"
    return [
        Finding(
            name,
            found[:300],
            params["contains"],
            action,
            status=verdict(is_good),
            milliseconds=took,
        )
    ]
