# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Verify's connections from inside real containers: a gateway, a tool server and its data.

The networks are as the platform makes them, without the firewall: what the engine alone keeps apart
is seen as apart, and what only the firewall closes is seen as open.
"""

from __future__ import annotations

import json
import os
import secrets
import socket

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.module_utils.engine import docker as _docker
from ansible_collections.intranet.mcp.plugins.module_utils.examine import inside
from ansible_collections.intranet.mcp.plugins.module_utils.examine.probe_isolation import isolation
from conftest import image

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]
LISTEN = """
import socket, threading
for port in (8000, 8001):
    server = socket.create_server(("", port))
    threading.Thread(target=lambda server=server: [server.accept() for _ in iter(int, 1)]).start()
"""
MEMBERS = {"gateway": ["gateway", "tool"], "tool": ["tool"], "data": ["data"]}
CONTACT = {"ports": [8000], "here": [], "flows": []}


@pytest.fixture(scope="module")
def platform(docker):
    """Return the prefix of three containers, on networks of their own."""
    prefix = f"itest-{secrets.token_hex(3)}-"
    for zone in MEMBERS:
        docker.run("network", "create", f"{prefix}{zone}")
    for service, (own, *others) in MEMBERS.items():
        labels = {"intranet.mcp.owner": "itest", "intranet.mcp.service": service}
        docker.run(
            *("create", f"--name={prefix}{service}", f"--network={prefix}{own}", "--init"),
            *("--cap-drop=ALL", "--sysctl=net.ipv4.ip_forward=0"),
            *(["--dns=127.0.0.1"] if service != "gateway" else []),
            *[f"--label={key}={value}" for key, value in labels.items()],
            *(image("tool-base"), "python3", "-c", LISTEN),
        )
        for zone in others:
            docker.run("network", "connect", f"{prefix}{zone}", f"{prefix}{service}")
        docker.run("start", f"{prefix}{service}")
    yield prefix
    docker.run("rm", "-f", *[f"{prefix}{service}" for service in MEMBERS])
    docker.run("network", "rm", *[f"{prefix}{zone}" for zone in MEMBERS])


def rows(prefix, managed=(), **reaches):
    contacts = [{**CONTACT, "service": s, "reaches": reaches.get(s, [])} for s in MEMBERS]
    params = {
        "contacts": contacts,
        "managed": list(managed),
        "neighbours": [],
        "prefix": prefix,
        "socket": _docker.SOCKET,
    }
    return {row.check: row for row in isolation("from", params)}


def test_containers_reach_whom_they_share_a_network_with(platform):
    found = rows(platform, gateway=["tool"])
    assert "cannot reach" not in found["from gateway"].found
    assert found["from gateway"].found.startswith("reaches tool")
    assert "data" not in found["from tool"].found


def test_a_service_that_a_container_must_reach_and_cannot_is_named(platform):
    found = rows(platform, tool=["data"])["from tool"]
    assert found.status == "failed"
    assert "cannot reach data" in found.found


def test_a_port_of_the_host_that_answers_a_container_is_named(platform, docker):
    address = json.loads(docker.run("network", "inspect", f"{platform}tool"))
    gateway = address[0]["IPAM"]["Config"][0]["Gateway"]
    with socket.create_server((gateway, 0)) as server:
        port = server.getsockname()[1]
        found = rows(platform, managed=[port])["from tool"]
    assert found.status == "failed"
    assert "reaches though nothing declares it" in found.found
    assert f"{gateway}:{port}" in found.found


def test_a_closed_container_is_told_names_of_its_network_and_no_others(platform, docker):
    ask = "getent hosts {} >/dev/null && echo known || echo unknown"

    def asked(service, name):
        return docker.run("exec", f"{platform}{service}", "sh", "-c", ask.format(name))

    assert asked("tool", f"{platform}gateway") == "known"
    assert asked("tool", f"{platform}data") == "unknown"
    assert asked("tool", "example.com") == "unknown"


def test_a_container_is_no_router_between_its_networks(platform, docker):
    said = docker.run("exec", f"{platform}gateway", "cat", "/proc/sys/net/ipv4/ip_forward")
    assert said == "0"


def test_a_process_that_is_not_there_is_one_clear_message():
    with pytest.raises(Refused, match="could not connect from inside process 4194304"):
        inside.reached(4194304, [("127.0.0.1", 1)])
