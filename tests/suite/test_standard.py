# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The standard tier on four hosts, with faults under load. A stage of its own: it takes long."""

from __future__ import annotations


def test_scenario(run):
    run("molecule", "test", "-s", "standard", timeout=7200)
