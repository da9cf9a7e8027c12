"""MCP gateway: one address in front of every MCP tool server, both protocol eras."""

from __future__ import annotations

__version__ = "0.1.0"
