# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine.shared_address import (
    held,
    judge,
)

LISTING = json.dumps(
    [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]},
        {"ifname": "eth0", "addr_info": [{"local": "192.0.2.1"}, {"local": "fd00::10"}, {}]},
        {"ifname": "none"},
    ]
)


def test_a_held_address_is_found_however_it_is_written():
    assert held(LISTING, ["192.0.2.10", "fd00:0::10"]) == ["fd00:0::10"]


@pytest.mark.parametrize(
    ("found", "status", "text"),
    [
        ({"a": ["x"], "b": []}, "passed", "a holds x"),
        ({"a": [], "b": []}, "failed", "nobody holds x"),
        ({"a": ["x"], "b": ["x"]}, "failed", "a holds x; b holds x"),
        ({"a": ["x"], "b": None}, "unknown", "a holds x; not asked: b"),
        ({"a": [], "b": None}, "unknown", "nobody holds x; not asked: b"),
    ],
)
def test_exactly_one_holder_is_well(found, status, text):
    judged = judge("shared address", found, ["x"], "own-keepalived")
    assert (judged.status, judged.found) == (status, text)


def test_addresses_that_are_not_held_together_are_a_fault():
    assert judge("c", {"a": ["x"], "b": ["y"]}, ["x", "y"], "k").is_failed
    assert judge("c", {"a": ["x"], "b": []}, ["x", "y"], "k").is_failed


def test_what_to_do_names_the_container_as_the_site_calls_it():
    action = judge("c", {"a": [], "b": []}, ["x"], "own-keepalived").action
    assert action.startswith("read docker logs own-keepalived on the balancers")
