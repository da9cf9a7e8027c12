# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine.probe_isolation import judge

CONTAINERS = {
    "gateway": {"pid": 1, "networks": {"g": "10.0.1.2", "t": "10.0.2.2"}},
    "tool": {"pid": 2, "networks": {"t": "10.0.2.3"}},
    "postgres": {"pid": 3, "networks": {"p": "10.0.3.2"}},
}
ASKED = {
    ("10.0.2.3", 8000): "tool",
    ("10.0.3.2", 5432): "postgres",
    ("10.0.9.1", 22): "",
    ("10.0.9.2", 5432): "",
}
CONTACT = {"service": "gateway", "reaches": ["tool"], "here": [], "flows": []}
TOOL = ("10.0.2.3", 8000)


def verdict(*reached, **changes):
    found = judge("reach", {**CONTACT, **changes}, CONTAINERS, ASKED, {*reached})
    return found.status, found.found


def test_a_container_that_reaches_what_it_must_and_nothing_else_passes():
    assert verdict(TOOL) == ("passed", "reaches tool")


def test_a_container_that_does_not_reach_what_it_must_fails():
    status, found = verdict()
    assert (status, found) == ("failed", "reaches no other container; cannot reach tool")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (("10.0.3.2", 5432), "postgres:5432"),
        (("10.0.9.1", 22), "10.0.9.1:22"),
        (("10.0.9.2", 5432), "10.0.9.2:5432"),
    ],
)
def test_another_network_a_port_of_the_host_and_another_host_are_named(target, said):
    status, found = verdict(TOOL, target)
    assert status == "failed"
    assert f"reaches though nothing declares it: {said}" in found


def test_flows_to_other_hosts_and_ports_of_a_cluster_are_no_fault():
    flow = {"service": "db", "port": 5432, "addresses": ["10.0.9.2"]}
    assert verdict(TOOL, ("10.0.9.2", 5432), flows=[flow])[0] == "passed"
    assert verdict(TOOL, ("10.0.9.1", 22), here=[22])[0] == "passed"


def test_who_shares_a_network_with_a_client_is_judged_by_nobody():
    found = judge("reach", {**CONTACT, "service": "tool", "reaches": []}, CONTAINERS, {
        ("10.0.2.2", 8080): "gateway",
    }, {("10.0.2.2", 8080)})  # fmt: skip
    assert found.status == "passed"
