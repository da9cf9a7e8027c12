"""`python -m mcp_gateway --config gateway.yml`."""

from __future__ import annotations

from mcp_gateway.cli import main

main()
