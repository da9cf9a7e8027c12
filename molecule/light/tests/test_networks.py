# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a compromised container reaches, tried from inside it by a program of its own.

Verify asks the same by entering the containers' networks; here the containers themselves ask, and
for names, too.
"""

from __future__ import annotations

import json

import pytest

TOOLS = ["tool-example", "tool-filesystem", "tool-browser"]
DATA = ["intranet-postgres:5432", "intranet-redis:6379", "intranet-ollama:11434"]
PORTS = [22, 4000, 5432, 6379, 8080, 8101, 8103, 8104, 11434]
OUTSIDE = ["169.254.169.254:80", "8.8.8.8:53", "1.1.1.1:443"]
CONNECT = """
import asyncio, json, sys
async def opens(target):
    host, _, port = target.rpartition(":")
    try:
        # Names first: few are asked for at a time, and none may take another's two seconds.
        (*_kind, place), *_more = await asyncio.get_running_loop().getaddrinfo(host, int(port))
        _reader, writer = await asyncio.wait_for(asyncio.open_connection(*place[:2]), 2)
        writer.close()
        return True
    except (OSError, asyncio.TimeoutError):
        return False
async def ask(targets):
    found = await asyncio.gather(*map(opens, targets))  # all at once: most take their two seconds
    print(json.dumps([target for target, is_open in zip(targets, found) if is_open]))
asyncio.run(ask(sys.argv[1:]))
"""
# Whatever the server of a tool container may read, as the user that it runs as.
READ_ALL = r"cat /secrets/* /config/* /proc/[0-9]*/environ 2>/dev/null; true"


@pytest.fixture(scope="session")
def opened(host):
    """Return a function that says which targets a service's container connects to."""

    def ask(service, *targets):
        command = ["docker", "exec", f"intranet-{service}", "python3", "-c", CONNECT, *targets]
        quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in command)
        return set(json.loads(host.check_output(quoted)))

    return ask


@pytest.fixture(scope="session")
def addresses(host, containers):
    """Return every address of the host and of its containers."""
    own = host.check_output("hostname --all-ip-addresses").split()
    inside = [
        network["IPAddress"]
        for container in containers.values()
        for network in container["NetworkSettings"]["Networks"].values()
    ]
    return own, inside


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_container_reaches_no_data_no_models_and_nothing_outside(opened, tool):
    assert opened(tool, *DATA, *OUTSIDE) == set()


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_container_reaches_no_port_of_the_host_by_any_address(opened, addresses, tool):
    own, _inside = addresses
    assert opened(tool, *[f"{address}:{port}" for address in own for port in PORTS]) == set()


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_container_reaches_no_container_by_address_but_the_gateway(
    opened, addresses, containers, tool
):
    _own, inside = addresses
    zone = f"intranet-mcp-{tool}"
    mine = {
        containers[service]["NetworkSettings"]["Networks"][zone]["IPAddress"]
        for service in (tool, "gateway")
    }
    others = [address for address in inside if address not in mine]
    assert (
        opened(tool, *[f"{address}:{port}" for address in others for port in (*PORTS, 8000)])
        == set()
    )


def test_the_gateway_reaches_what_it_needs_and_no_database(opened):
    needed = {
        "intranet-litellm:4000",
        "intranet-redis:6379",
        *[f"intranet-{t}:8000" for t in TOOLS],
    }
    assert opened("gateway", *needed, *DATA) == needed


def test_models_are_reached_by_litellm_alone(opened):
    assert opened("litellm", "intranet-ollama:11434") == {"intranet-ollama:11434"}
    for service in ("gateway", *TOOLS):
        assert opened(service, "intranet-ollama:11434") == set(), service


def test_the_token_of_a_tool_server_is_nowhere_in_its_container(host, secrets):
    tokens = {name: value for name, value in secrets.items() if name.startswith("tool-token-")}
    assert len(tokens) == len(set(tokens.values())) == len(TOOLS)
    for tool in TOOLS:
        seen = host.check_output(f"docker exec intranet-{tool} sh -c '{READ_ALL}'")
        assert not [name for name, value in tokens.items() if value in seen], tool


def test_nothing_is_left_of_the_network_that_all_once_shared(host):
    names = host.check_output("docker network ls --format '{{.Name}}'").split()
    assert "intranet-mcp" not in names
    assert {f"intranet-mcp-{tool}" for tool in TOOLS} <= set(names)
