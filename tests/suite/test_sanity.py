# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What Ansible demands of a collection."""

from __future__ import annotations

import sys


def test_ansible_test_sanity(run, root, installed):
    run(sys.executable, root / "tests/tools/sanity.py", installed.directory, timeout=900)
