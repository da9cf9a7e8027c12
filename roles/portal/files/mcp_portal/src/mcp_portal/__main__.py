"""`python -m mcp_portal`."""

from __future__ import annotations

from mcp_portal.cli import main

main()
