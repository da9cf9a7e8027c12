# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every panel, once: `make status` and Grafana's dashboards show what is here.

A test asks each of them of a Prometheus that scrapes a real platform. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panel import Panel
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels_hosts import HOSTS
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels_models import (
    MODELS,
    PEOPLE,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels_overview import (
    OVERVIEW,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels_tools import TOOLS


@dataclass(frozen=True)
class Board:
    """Panels that are looked at together, under one title."""

    name: str
    title: str
    panels: dict[str, Panel]


BOARDS = (
    Board("overview", "Overview", OVERVIEW),
    Board("models", "Models", MODELS),
    Board("tools", "Tools", TOOLS),
    Board("people", "People", PEOPLE),
    Board("hosts", "Hosts and data", HOSTS),
)
PANELS = {name: panel for board in BOARDS for name, panel in board.panels.items()}
