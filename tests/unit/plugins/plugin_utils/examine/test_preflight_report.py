# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.examine.run_lock import lock_problem
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.preflight_report import report

RUN = {"node": "n", "boot": "b", "pid": 5, "started": 100}


def test_the_report_numbers_everything_and_says_that_nothing_changed():
    problems = [Finding("a", "x", "y", "do z"), lock_problem({**RUN, "host": "h"}, 60)]
    lines = report(problems, "web1").splitlines()
    assert lines[0] == "2 problems found on web1, nothing was changed:"
    assert lines[1] == "  1. x; expected y: do z"
    assert "on h (process 5)" in lines[2]
