# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The tiers on real hosts: systemd containers with a container engine of their own."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("scenario", ["light"])
def test_scenario(run, scenario):
    run("molecule", "test", "-s", scenario, timeout=3600)
