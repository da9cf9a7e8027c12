"""Protocol revisions, and the names that the modern one gave to things."""

from __future__ import annotations

LEGACY_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSIONS = ("2026-07-28",)
LATEST_LEGACY = LEGACY_VERSIONS[-1]
LATEST_MODERN = MODERN_VERSIONS[-1]

META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CLIENT = "io.modelcontextprotocol/clientInfo"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_LOG_LEVEL = "io.modelcontextprotocol/logLevel"
META_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
META_SERVER = "io.modelcontextprotocol/serverInfo"

# The request member that names what a request is about; mirrored in the Mcp-Name header.
NAME_MEMBER = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
# Results of these carry caching hints in the modern era.
CACHEABLE = {
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
}
# Requests that may be answered by `input_required`.
MAY_ASK = {"tools/call", "prompts/get", "resources/read"}
LIST_MEMBER = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
# Requests about no single tool, prompt or resource that do no more than policy can answer for:
# lists are filtered, what is listened to is checked, and a task began with a call that was allowed.
ABOUT_NOTHING = {
    *LIST_MEMBER,
    "ping",
    "server/discover",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/cancel",
    "tasks/update",
}
LOG_LEVELS = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)
# HTTP status that the modern era attaches to JSON-RPC error codes.
STATUS_OF_CODE = {
    -32700: 400,
    -32600: 400,
    -32602: 400,
    -32020: 400,
    -32021: 400,
    -32022: 400,
    -32601: 404,
}
