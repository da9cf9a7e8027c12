# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The tiers on real hosts: systemd containers with a container engine of their own."""

from __future__ import annotations

import newest_core
import pytest


@pytest.mark.parametrize("scenario", ["light"])
def test_scenario(run, scenario):
    run("molecule", "test", "-s", scenario, timeout=3600)


def test_the_light_tier_was_converged_with_the_newest_core():
    """Its sequence does so where there is a Python for it; the report says where there is none."""
    if newest_core.find_python() is None:
        pytest.skip(
            f"there is no Python {newest_core.WANTED} here (PYTHON_NEWEST names one): the light "
            "tier met the oldest ansible-core alone"
        )
