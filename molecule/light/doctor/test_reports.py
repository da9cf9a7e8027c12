# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The operator's reports on a platform that was used: who used what, and how it is doing."""

from __future__ import annotations

import csv

from conftest import INVENTORY, play

REPORTS = INVENTORY / ".intranet-mcp/reports"


def newest(pattern):
    """Return the rows of the newest such file."""
    path = max(REPORTS.glob(pattern), key=lambda found: found.stat().st_mtime)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_usage_says_who_used_which_model_and_tool():
    run = play("intranet.mcp.usage")
    assert run.returncode == 0
    people = newest("usage-????-??.csv")
    assert sum(int(row["output_tokens"]) for row in people) > 0
    assert sum(int(row["tool_calls"]) for row in people) > 0
    called = {row["tool"] for row in newest("usage-????-??-tools.csv")}
    assert "list_allowed_directories" in called
    (page,) = REPORTS.glob("usage-????-??.html")
    assert "list_allowed_directories" in page.read_text()
    assert all(row["person"] in run.stdout for row in people)


def test_status_says_how_the_platform_is_doing():
    run = play("intranet.mcp.status")
    assert run.returncode == 0
    page = (REPORTS / "status.html").read_text()
    for said in ("smollm2:135m", "molecule-light", "filesystem"):
        assert said in page and said in run.stdout, said
