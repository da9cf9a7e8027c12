"""A worked example of an own MCP server."""
