# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import system

FACTS = {
    "uid": 0,
    "os_family": "debian",
    "architecture": "x86_64",
    "kernel": "5.14.0-503.el9.x86_64",
    "memory_mb": 8000,
}
WANTED = {
    "os_family": ["debian"],
    "architecture": ["x86_64"],
    "memory_mb": 4000,
}


def test_a_good_host_has_no_problems():
    assert [f.status for f in system.judge(FACTS, WANTED)] == ["passed"] * 5


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"uid": 1000}, "root"),
        ({"os_family": "alpine"}, "os"),
        ({"architecture": "riscv64"}, "architecture"),
        ({"kernel": "4.18.0-553.el8_10.x86_64"}, "kernel"),
        ({"memory_mb": 3999}, "memory"),
    ],
)
def test_each_fault_of_the_host_is_its_own_problem(change, check):
    judged = system.judge({**FACTS, **change}, WANTED)
    assert [found.check for found in judged if found.is_failed] == [check]
