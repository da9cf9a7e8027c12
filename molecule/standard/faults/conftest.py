# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A table of what every fault cost."""

from __future__ import annotations

import pytest
from load import table

ROWS = []


@pytest.fixture
def report():
    """Return a function that takes a line for the table."""
    return ROWS.append


def pytest_terminal_summary(terminalreporter):
    """Print the table."""
    terminalreporter.section("faults under load")
    terminalreporter.write_line(table(ROWS))
