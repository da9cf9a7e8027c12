# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.firewall.egress import (
    Destination,
    parse,
    resolvers,
)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("internet", Destination(kind="internet")),
        ("internet:443", Destination(kind="internet", port=443)),
        ("any", Destination(kind="any")),
        ("10.0.0.0/8", Destination(network="10.0.0.0/8")),
        ("10.1.2.3:5432", Destination(network="10.1.2.3/32", port=5432)),
        ("fd00::5", Destination(network="fd00::5/128")),
        ("[fd00::5]:443", Destination(network="fd00::5/128", port=443)),
        ("[fd00::/8]:443", Destination(network="fd00::/8", port=443)),
        ("Git.example.internal:443", Destination(name="git.example.internal", port=443)),
        ("wiki", Destination(name="wiki")),
    ],
)
def test_a_destination_is_read_as_it_is_meant(text, meaning):
    assert parse(text) == meaning


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1/8", "300.1.1.1", "host:0", "host:https", "a b", "", "https://x", 443, "[fd00::5]x"],
)
def test_what_is_no_destination_is_refused_with_what_was_expected(text):
    with pytest.raises(Unusable, match=r"expected internet, an address, a network or a host"):
        parse(text)


def test_name_servers_are_those_that_a_container_can_ask():
    text = "search x\nnameserver 127.0.0.53\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\n"
    assert resolvers(text, "nameserver 10.0.0.53\nnameserver ?\n") == ["10.0.0.53", "fe80::1"]
