# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Only declared ports answer other machines, whoever listens on the rest."""

from __future__ import annotations

import socket
import subprocess

import pytest

OPEN = [4000, 8080]
CLOSED = [
    5432,
    6379,
    6514,
    6515,
    6516,
    8101,
    8103,
    8104,
    9090,
    9093,
    9100,
    9115,
    9121,
    9187,
    9778,
    11434,
]


def answers(address, port):
    """Tell whether a port accepts a connection from outside within a short time."""
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("port", OPEN)
def test_declared_ports_answer(address, port):
    assert answers(address, port)


@pytest.mark.parametrize("port", CLOSED)
def test_other_ports_of_the_platform_do_not_answer(address, port):
    assert not answers(address, port)


def test_the_table_is_there_and_comes_back_at_boot(host):
    assert "hook prerouting" in host.check_output("nft list table inet intranet_mcp")
    assert host.service("intranet-mcp-firewall").is_enabled


SERVER = "import http.server as h; h.HTTPServer(('', {}), h.BaseHTTPRequestHandler).serve_forever()"


def wait_inside(host, probe):
    """Wait on the host, for at most five seconds, until a command succeeds there."""
    host.check_output(f"for i in $(seq 50); do {probe} && exit; sleep 0.1; done; exit 1")


def test_a_program_on_a_managed_port_is_not_reachable(host, address):
    programs = []
    try:
        for port in (5432, 9):
            command = ["docker", "exec", host.backend.name, "python3", "-c", SERVER.format(port)]
            programs.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            wait_inside(host, f"ss -ltnH sport = :{port} | grep -q .")
        assert answers(address, 9), "other ports are none of the platform's business"
        assert not answers(address, 5432)
    finally:
        host.run("pkill --full serve_forever")
        for program in programs:
            program.wait(10)


def test_a_port_published_by_hand_is_not_reachable(host, address, containers):
    image = containers["redis"]["Config"]["Image"]
    run = f"docker run --detach --rm --publish 6379:6379 --user 999:999 {image}"
    name = host.check_output(f"{run} redis-server --protected-mode no --save ''")
    try:
        wait_inside(host, f"docker exec {name} redis-cli ping")
        assert not answers(address, 6379)
    finally:
        host.run(f"docker rm --force {name}")
