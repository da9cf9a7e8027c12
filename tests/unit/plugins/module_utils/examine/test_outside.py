# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which addresses ports are tried from, and what follows from the result. Attempts: integration."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import outside

FLOWS = [
    {"port": 4000, "proto": "tcp", "sources": ["10.0.0.0/8", "fc00::/7"]},
    {"port": 8080, "proto": "tcp", "sources": ["10.0.0.0/8", "192.168.7.4/32"]},
    {"port": 5432, "proto": "tcp", "sources": ["192.168.7.4/32"]},
]


def test_each_source_is_to_reach_its_own_ports():
    assert outside.expected_open(FLOWS, "10.1.2.3") == {4000, 8080}
    assert outside.expected_open(FLOWS, "192.168.7.4") == {8080, 5432}
    assert outside.expected_open(FLOWS, "198.51.100.77") == set()


def test_an_undeclared_address_is_in_no_declared_network():
    assert outside.undeclared(FLOWS) == "198.51.100.77"
    near = [{"port": 1, "sources": ["198.51.100.0/24"]}]
    assert outside.undeclared(near) == "203.0.113.77"
    assert outside.undeclared([{"port": 1, "sources": ["any"]}]) is None


@pytest.mark.parametrize("seed", range(20))
def test_a_member_has_an_address_that_nobody_is_known_to_use(seed):
    taken = ["10.0.0.0/9", "172.17.0.0/16"]
    address = ipaddress.ip_address(outside.member(FLOWS, taken, seed))
    assert address in ipaddress.ip_network("10.128.0.0/9")


def test_where_users_share_the_hosts_network_a_free_address_of_it_is_taken():
    flows = [{"port": 1, "sources": ["192.0.2.0/28"]}]
    known = ["192.0.2.0/24", *(f"192.0.2.{last}/32" for last in range(1, 13))]
    assert outside.member(flows, known, seed=1) == "192.0.2.13"


def test_the_address_of_a_single_host_is_never_borrowed():
    assert outside.member([{"port": 1, "sources": ["10.0.0.5/32"]}], []) is None


def test_exactly_the_declared_ports_must_be_open():
    found = {4000: "open", 8080: "filtered", 11434: "open", 5432: "refused"}
    judged = outside.judge("ports", found, {4000, 8080}, "10.1.2.3")
    assert judged.is_failed and judged.action
    texts = ["open: 4000, 11434", "not open: 8080 (filtered)", "open though undeclared: 11434"]
    assert judged.found == "; ".join(texts) + " (from 10.1.2.3)"
    passed = outside.judge("ports", {4000: "open", 5432: "refused"}, {4000}, "10.1.2.3")
    assert (passed.status, passed.expected) == ("passed", "open: 4000 of 2 ports")
