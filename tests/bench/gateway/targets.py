# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is compared, and how each is started. All of it is pinned and lies in `.cache`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway_lab import Lab, Program, free_port, node_packages, python_environment
from loadgen import MODERN, Target
from upstream import KEY

HERE = Path(__file__).resolve().parent
UPSTREAM = [sys.executable, str(HERE / "upstream.py")]


class Running(NamedTuple):
    """A started proxy (None: no proxy) and how to call through it."""

    program: Program | None
    target: Target


class Row(NamedTuple):
    """One line of the table."""

    name: str
    start: Callable[[Lab, int], Running]
    is_ours: bool = False


def gateway_configuration(port: int, audit: Path, litellm: int, upstreams: dict) -> dict:
    """Return a configuration with everything on that a company would have on."""
    return {
        "listen": {"port": port},
        "auth": {"litellm": {"url": f"http://127.0.0.1:{litellm}"}},
        "policy": {
            "default": "deny",
            "rules": [
                {"name": "no-deletes", "effect": "deny", "tools": ["delete_*"]},
                {"name": "others", "keys": ["somebody-else"], "servers": ["secret_*"]},
                {"name": "team", "teams": ["bench-*"], "servers": ["*"]},
            ],
        },
        "limits": {
            "calls_per_caller": 512,
            "sessions_per_caller": 5000,
            "streams_per_caller": 5000,
            "connections": 5000,
            "connections_per_address": 5000,
        },
        "rate_limit": {"requests_per_minute": 100_000_000},
        "audit": {"file": str(audit)},
        "log_level": "warning",
        "upstreams": upstreams,
    }


def _gateway(kind: str, route: str, tool: str = "echo", era: str = "") -> Callable:
    def start(lab: Lab, upstream: int) -> Running:
        port = free_port()
        if kind == "stdio":
            settings = {"type": "stdio", "command": UPSTREAM[0], "args": [UPSTREAM[1], "stdio"]}
        else:
            path = "/events/mcp" if kind == "events" else "/mcp"
            settings = {"type": "http", "url": f"http://127.0.0.1:{upstream}{path}"}
        configuration = gateway_configuration(
            port, audit_file(lab), upstream, {"bench": {**settings, "required": True}}
        )
        program = lab.gateway(configuration)
        target = Target(f"http://127.0.0.1:{port}{route}", tool, KEY)
        return Running(program, target._replace(era=era) if era else target)

    return start


def audit_file(lab: Lab) -> Path:
    """Return where the measured gateway writes its audit lines."""
    return lab.directory / "audit.jsonl"


def _direct(lab: Lab, upstream: int) -> Running:
    return Running(None, Target(f"http://127.0.0.1:{upstream}/mcp"))


def _fastmcp(lab: Lab, upstream: int) -> Running:
    python = python_environment("bench-fastmcp", HERE / "requirements-fastmcp.txt")
    port = free_port()
    url = f"http://127.0.0.1:{upstream}/mcp"
    quiet = {"FASTMCP_CHECK_FOR_UPDATES": "off", "FASTMCP_LOG_LEVEL": "ERROR"}
    program = lab.start("fastmcp", [python, HERE / "fastmcp_proxy.py", url, str(port)], port, quiet)
    return Running(program, Target(f"http://127.0.0.1:{port}/mcp"))


def _pypi_mcp_proxy(lab: Lab, upstream: int) -> Running:
    python = python_environment("bench-mcp-proxy", HERE / "requirements-mcp-proxy.txt")
    port = free_port()
    command = [python.with_name("mcp-proxy"), "--log-level", "ERROR", "--port", str(port), "--"]
    program = lab.start("mcp-proxy", [*command, *UPSTREAM, "stdio"], port)
    return Running(program, Target(f"http://127.0.0.1:{port}/mcp"))


def _npm_mcp_proxy(lab: Lab, upstream: int) -> Running:
    modules = node_packages("bench-node", HERE / "package-lock.json")
    port = free_port()
    command = ["node", modules / "mcp-proxy/dist/bin/mcp-proxy.mjs", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--server", "stream", "--no-eventStore", "--"]
    program = lab.start("mcp-proxy-npm", [*command, *UPSTREAM, "stdio"], port)
    return Running(program, Target(f"http://127.0.0.1:{port}/mcp"))


ROWS = (
    Row("direct", _direct),
    Row("gateway /mcp", _gateway("http", "/mcp", "bench__echo"), True),
    Row("gateway /servers/NAME/mcp", _gateway("http", "/servers/bench/mcp"), True),
    Row("gateway, event streams", _gateway("events", "/mcp", "bench__echo"), True),
    Row("gateway, 2026-07-28", _gateway("http", "/mcp", "bench__echo", MODERN), True),
    Row("gateway, stdio", _gateway("stdio", "/mcp", "bench__echo"), True),
    Row("mcp-proxy (PyPI), stdio", _pypi_mcp_proxy),
    Row("mcp-proxy (npm), stdio", _npm_mcp_proxy),
    Row("FastMCP proxy, one session", _fastmcp),
)
