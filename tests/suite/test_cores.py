# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The newest ansible-core; everything else runs with the oldest supported one.

The converge with it belongs to the Molecule sequence, where there is a host that must not change.
"""

from __future__ import annotations

import sys

import pytest

# What meets ansible-core. The rest is plain Python, which Molecule runs with the newest core, too.
MEETS_CORE = [f"plugins/{kind}" for kind in ("action", "filter", "lookup", "modules")]
MEETS_CORE += ["test_roles.py", "test_playbooks.py"]


@pytest.fixture
def newest(run, root):
    """Return a function that runs a program of the newest ansible-core's environment."""

    def runner(*command, **options):
        reason = "there is no Python 3.13 here (PYTHON_NEWEST names one)"
        tool = root / "tests/tools/newest_core.py"
        run(sys.executable, tool, *command, skip_status=77, skip_reason=reason, **options)

    return runner


def test_unit_tests_pass(newest, root):
    pytest = ["pytest", "-p", "no:cacheprovider", "--import-mode=importlib", "-q"]
    newest(*pytest, *(root / "tests/unit" / path for path in MEETS_CORE), timeout=900)


@pytest.mark.parametrize("playbook", ["site", "verify", "absent"])
@pytest.mark.parametrize("inventory", ["local", "light"])
def test_playbooks_are_understood(newest, root, inventory, playbook):
    newest(
        "ansible-playbook",
        "--syntax-check",
        *("-i", root / "inventories" / inventory),
        f"intranet.mcp.{playbook}",
    )
