# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A load that runs beside a fault, and a table of what every fault cost."""

from __future__ import annotations

import pytest
from actions import LITELLM_START_SECONDS, wait_until_whole
from load import Load, table

ROWS = []


@pytest.fixture
def load(client, request):
    """Return a running load; every server is up before it begins.

    Parametrized indirectly it asks another model than the scripted one.
    """
    wait_until_whole(LITELLM_START_SECONDS)
    with Load(client, **getattr(request, "param", {})) as running:
        yield running


@pytest.fixture
def report():
    """Return a function that takes a line for the table."""
    return ROWS.append


def pytest_terminal_summary(terminalreporter):
    """Print the table."""
    terminalreporter.section("faults under load")
    terminalreporter.write_line(table(ROWS))
