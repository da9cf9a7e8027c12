# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.module_utils.topology.shared_address import sharing
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology

BOTH = {"lb1": ["192.0.2.1", "fd00::1"], "lb2": ["192.0.2.2", "fd00::2"]}


def topology(shared, addresses=None, balancers=("lb1", "lb2")):
    return Topology(
        services={},
        groups={"load_balancer": list(balancers)},
        addresses=addresses or BOTH,
        shared=shared,
    )


def test_each_balancer_speaks_to_the_others_over_the_family_of_the_first_address():
    assert sharing(topology(["192.0.2.10/24", "fd00::10/64"]), "lb2") == {
        "address": "192.0.2.2",
        "peers": ["192.0.2.1"],
        "priority": 99,
        "addresses": ["192.0.2.10/24"],
        "excluded": ["fd00::10/64"],
    }
    found = sharing(topology(["fd00::10/64", "192.0.2.10/24"]), "lb1")
    assert (found["address"], found["peers"]) == ("fd00::1", ["fd00::2"])


def test_a_balancer_that_is_alone_tells_nobody():
    assert sharing(topology(["192.0.2.10/24"], balancers=["lb1"]), "lb1")["peers"] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("shared", "addresses", "found"),
    [
        (["192.0.2.10"], None, "has '192.0.2.10'"),
        (["llm.example.internal/24"], None, "has 'llm.example.internal/24'"),
        (["192.0.2.1/24"], None, "has 192.0.2.1, a host's own address"),
        (["fd00::10/64"], {"lb1": ["192.0.2.1"], "lb2": ["192.0.2.2"]}, "has no IPv6 address"),
    ],
)
def test_an_address_that_cannot_be_shared_says_what_to_do(shared, addresses, found):
    with pytest.raises(TopologyError) as error:
        sharing(topology(shared, addresses), "lb1")
    assert found in error.value.found
    assert error.value.expected and error.value.action
