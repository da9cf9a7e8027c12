# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The one result of preflight, verify and doctor."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.module_utils.examine import finding
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding


@pytest.mark.parametrize(
    ("is_good", "status"), [(True, "passed"), (False, "failed"), (None, "unknown")]
)
def test_a_check_that_could_not_run_never_passed(is_good, status):
    assert finding.verdict(is_good) == status


@pytest.mark.parametrize(
    ("status", "action"),
    [("passed", ""), ("not_applicable", ""), ("failed", "x")],
)
def test_only_what_did_not_pass_has_something_to_do(status, action):
    assert Finding("disk", "1", "2", "x", status=status).action == action


def test_an_error_is_a_failed_check():
    told = Finding.of("redis", Refused("a", "b", "c"))
    assert (told.is_failed, str(told)) == (True, "a; expected b: c")
    assert told.as_row()["name"] == told.as_dict()["check"] == "redis"
