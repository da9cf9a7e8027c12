# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import clock

NOW = clock.EARLIEST + 1000.0


@pytest.mark.parametrize(
    ("off", "status", "words"),
    [
        (0, "passed", "0.0 s off the control node's"),
        (-0.24, "passed", "0.2 s off the control node's (behind)"),
        (60, "passed", "60 s off"),
        (-300, "failed", "300 s off the control node's (behind)"),
        (90, "failed", "90 s off the control node's (ahead)"),
    ],
)
def test_a_clock_may_be_off_by_so_much(off, status, words):
    judged = clock.judge("clock", NOW + off, NOW, 60)
    assert (judged.status, words in judged.found) == (status, True)


def test_a_clock_before_the_release_is_wrong_even_if_the_control_node_agrees():
    judged = clock.judge("clock", 1000.0, 1000.0, 60)
    assert judged.is_failed and "before 2026" in judged.found
