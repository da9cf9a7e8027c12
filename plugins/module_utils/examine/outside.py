# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tries this host's ports as another host would, and leaves nothing behind.

A child process enters a network namespace of its own, which a pair of interfaces joins to this
host. What it sends arrives as from another machine: before destination NAT, through the firewall.
The namespace and the interfaces exist as long as the child does, however it ends.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import errno
import ipaddress
import json
import os
import random
import secrets
import socket
import subprocess
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict

# For documentation (RFC 5737): nobody's.
UNDECLARED = ("198.51.100.77", "203.0.113.77", "192.0.2.77")
HERE = "169.254.213.1"  # this host's end, link-local
CONNECT_SECONDS = 2.0
_CLONE_NEWNET = 0x40000000


def sources_that_contain(address: str, flow: dict[str, Any]) -> list[str]:
    """Return the sources of a flow that an address falls under."""
    here = ipaddress.ip_address(address)
    found = []
    for source in flow["sources"]:
        network = ipaddress.ip_network("0.0.0.0/0" if source == "any" else source, strict=False)
        if here.version == network.version and here in network:
            found.append(source)
    return found


def expected_open(flows: list[dict[str, Any]], address: str) -> set[int]:
    """Return the ports that somebody with this address must reach."""
    return {
        flow["port"]
        for flow in flows
        if flow.get("proto", "tcp") == "tcp" and sources_that_contain(address, flow)
    }


def undeclared(flows: list[dict[str, Any]]) -> str | None:
    """Return an address that no flow lets in; None when they let everybody in."""
    for address in UNDECLARED:
        if not expected_open(flows, address):
            return address
    return None


def member(flows: list[dict[str, Any]], taken: list[str], seed: int | None = None) -> str | None:
    """Return an address of the users' networks, none of `taken` (networks and addresses in use).

    Only wide networks count: a flow from one host is that host's own, and its address is in use.
    """
    choose = random.Random(seed)  # noqa: S311  no secret
    in_use = [ipaddress.ip_network(network, strict=False) for network in taken]
    fallback = None
    for source in {source for flow in flows for source in flow["sources"]}:
        network = ipaddress.ip_network("10.0.0.0/8" if source == "any" else source, strict=False)
        if network.version != 4 or network.prefixlen > 28:
            continue
        for _try in range(32):
            address = network[choose.randrange(2, network.num_addresses - 2)]
            holding = [other for other in in_use if other.version == 4 and address in other]
            if not holding:
                return str(address)
            if all(other.prefixlen < 32 for other in holding):
                fallback = str(address)  # in a network of this host, but nobody known
    return fallback


def judge(check: str, found: dict[int, str], expected: set[int], source: str) -> Finding:
    """Return whether exactly the expected ports are open to this source. Pure."""
    seen = {port for port, state in found.items() if state == "open"}
    missing, extra = sorted(expected - seen), sorted(seen - expected)
    texts = [f"open: {_listed(seen)}"]
    if missing:
        texts.append(f"not open: {', '.join(f'{port} ({found.get(port)})' for port in missing)}")
    if extra:
        texts.append(f"open though undeclared: {_listed(extra)}")
    return Finding(
        check,
        f"{'; '.join(texts)} (from {source})",
        f"open: {_listed(expected)} of {len(found)} ports",
        "run site.yml for the firewall; check who listens (ss -ltnp) and what filters in between",
        status=verdict(not missing and not extra),
    )


def _listed(ports: Any) -> str:
    return ", ".join(str(port) for port in sorted(ports)) or "none"


def try_ports(source: str, target: str, ports: list[int]) -> dict[int, str]:
    """Return `open`, `refused` or `filtered` for each port of this host, as seen from `source`."""
    told, tell = os.pipe()
    wired, wire = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(told)
        os.close(wire)
        _child(source, target, ports, tell, wired)
    os.close(tell)
    os.close(wired)
    try:
        return _guide(pid, source, told, wire)
    finally:
        os.close(told)
        os.close(wire)  # a child that still waits ends now
        os.waitpid(pid, 0)


def reached(targets: list[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Return the state of each (address, port) as this host itself sees it."""
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        return dict(zip(targets, pool.map(lambda target: _state(*target), targets)))  # noqa: B905


def _guide(pid: int, source: str, told: int, wire: int) -> dict[int, str]:
    entered = os.read(told, 4096)
    if entered != b"entered\n":
        raise _impossible(entered.decode() or "the child process ended")
    name = f"verify{secrets.token_hex(3)}"
    _ip("link", "add", name, "type", "veth", "peer", "name", "outside", "netns", str(pid))
    _ip("address", "add", f"{HERE}/32", "peer", f"{source}/32", "dev", name)
    _ip("link", "set", name, "up")
    os.write(wire, b"wired\n")
    text = b""
    while piece := os.read(told, 65536):
        text += piece
    try:
        answer = json.loads(text)
    except ValueError:
        raise _impossible(text.decode() or "the child process ended") from None
    return {int(port): state for port, state in answer.items()}


def _child(source: str, target: str, ports: list[int], tell: int, wired: int) -> None:
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        os.write(tell, b"entered\n")
        if os.read(wired, 16):
            _ip("address", "add", f"{source}/32", "dev", "outside")
            _ip("link", "set", "outside", "up")
            _ip("route", "add", HERE, "dev", "outside")
            _ip("route", "add", "default", "via", HERE, "dev", "outside", "src", source)
            with concurrent.futures.ThreadPoolExecutor(32) as pool:
                states = pool.map(lambda port: _state(target, port), ports)
                os.write(tell, json.dumps(dict(zip(ports, states))).encode())  # noqa: B905
    except Exception as error:
        os.write(tell, str(error).encode()[:4096])
    finally:
        os._exit(0)


def _state(target: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(CONNECT_SECONDS)
        code = probe.connect_ex((target, port))
    if code == 0:
        return "open"
    return "refused" if code == errno.ECONNREFUSED else "filtered"


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["ip", *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _impossible(f"ip {' '.join(arguments)}: {error}") from error
    if done.returncode:
        raise _impossible(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def addresses_in_use() -> list[str]:
    """Return networks and addresses (IPv4) that this host has to do with."""
    routes = [line.split() for line in _ip("-4", "route", "show", "table", "all").splitlines()]
    networks = [word for line in routes for word in line[:2] if word[:1].isdigit()]
    neighbours = [line.split()[0] for line in _ip("-4", "neigh").splitlines() if line]
    return networks + neighbours


def own_address() -> str:
    """Return the address by which others reach this host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((UNDECLARED[0], 9))  # chooses a route, sends nothing
        return probe.getsockname()[0]


def _impossible(found: str) -> Refused:
    return Refused(
        f"could not be tried from outside ({found})",
        "root, iproute2 and network namespaces",
        "run it as root; where that cannot be, declare the check not applicable",
    )
