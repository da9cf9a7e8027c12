# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Inventories that make no monitoring."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.problems import problems


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ({}, []),
        ({"monitoring": ["one"], "grafana": ["two", "three"]}, []),
        ({"monitoring": ["one", "two"]}, ["group monitoring has 2 hosts (one, two)"]),
        ({"grafana": ["one"]}, ["group grafana has one, and group monitoring no host"]),
    ],
)
def test_one_host_measures_and_grafana_shows_what_it_measures(groups, found):
    assert [problem.found for problem in problems(groups)] == found
