# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the deployed monitoring measures.

Panels that need people at work are in the integration tests' test_panels.py.
"""

from __future__ import annotations

import shlex
import time

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import panel
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels_hosts import HOSTS

PROMETHEUS = "intranet-prometheus"
QUERY = f"docker exec {PROMETHEUS} promtool query instant"
STARTS_SECONDS = 120
# Nobody reports a backup here.
QUERIES = [
    query.expr for name, shown in HOSTS.items() if name != "backup" for query in shown.queries
]


@pytest.fixture
def ask(host):
    """Return a function that asks Prometheus a query, and returns its answer as text."""

    def asked(query, *options):
        words = shlex.join([*options, "http://127.0.0.1:9090", query])
        return host.check_output(f"{QUERY} {words}")

    return asked


def test_every_panel_of_hosts_and_data_has_data(ask):
    assert not [query for query in QUERIES if not ask(panel.filled(query, "1m", "10m"))]


def test_a_prometheus_that_is_killed_keeps_what_it_measured(host, ask):
    at = f"--time={host.check_output('date +%s')}"
    before = ask("count(up == 1)", at)
    assert before
    host.check_output(f"docker kill {PROMETHEUS} && docker start {PROMETHEUS}")
    ends_at = time.monotonic() + STARTS_SECONDS
    while host.run(f"{QUERY} http://127.0.0.1:9090 up").rc:
        assert time.monotonic() < ends_at, "Prometheus does not answer"
        time.sleep(1)  # it reads again what it had not yet compacted
    assert ask("count(up == 1)", at) == before
