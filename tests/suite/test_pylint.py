# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""pylint as Ansible demands it of a collection, beside what ruff finds in every run."""

from __future__ import annotations

import sys


def test_pylint_finds_nothing(run, root, installed):
    tool = root / "tests/tools/sanity.py"
    run(sys.executable, tool, installed.directory, "pylint", timeout=900)
