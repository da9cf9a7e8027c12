# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who reaches whom, tried from every host to every port of every other: exactly what is listed."""

from __future__ import annotations

import socket

import pytest
from hosts import APP1, APP2, DATA, LB, addresses, reached

PUBLIC_PORTS = (443, 80)
PORTS = [80, 443, 4000, 5432, 6379, 8000, 8080, 8101, 8104, 8404, 9090, 9093, 9100, 11434]
# (from, to): the ports that must answer. Written down by hand, so that a wrong rule of the topology
# cannot make its own test pass.
MATRIX = {
    (LB, APP1): {4000, 8080},
    (LB, APP2): {4000, 8080},
    (APP1, LB): {443, 8000},
    (APP2, LB): {443, 8000},
    (APP1, APP2): {8080, 11434},
    (APP2, APP1): {8080},
    (APP1, DATA): {5432, 6379, 8101, 8104, 11434},
    (APP2, DATA): {5432, 6379, 8101, 8104, 11434},
    # It has the monitoring, too.
    (DATA, LB): {443, 8404, 9100},
    (DATA, APP1): {4000, 8080, 9100},
    (DATA, APP2): {4000, 8080, 9100, 11434},
}


@pytest.mark.parametrize("target", [LB, APP1, APP2, DATA])
@pytest.mark.parametrize("source", [LB, APP1, APP2, DATA])
def test_hosts_reach_each_other_as_declared(source, target):
    if source != target:
        assert reached(source, target, PORTS) == MATRIX.get((source, target), set())


def answers(host, port):
    """Tell whether a port answers people."""
    try:
        with socket.create_connection((addresses()[host], port), timeout=1.5):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", [LB, APP1, APP2, DATA])
def test_people_reach_the_one_address_and_nothing_else(host):
    expected = list(PUBLIC_PORTS) if host == LB else []
    assert sorted(port for port in PORTS if answers(host, port)) == sorted(expected)
