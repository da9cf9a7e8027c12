# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine.run_lock import (
    is_gone,
    is_same_run,
)

RUN = {"node": "n", "boot": "b", "pid": 5, "started": 100}


@pytest.mark.parametrize(
    ("owner", "started", "gone"),
    [
        (RUN, 100, False),
        (RUN, 101, True),
        (RUN, None, True),
        ({**RUN, "boot": "old"}, 100, True),
        ({**RUN, "node": "elsewhere"}, None, None),
    ],
)
def test_a_run_is_gone_only_if_this_control_node_can_tell(owner, started, gone):
    assert is_gone(owner, {**RUN, "pid": 6}, lambda pid: started) is gone


def test_a_run_is_known_by_process_and_start():
    assert is_same_run(RUN, {**RUN, "since": "later"})
    assert not is_same_run(RUN, {**RUN, "started": 7})
