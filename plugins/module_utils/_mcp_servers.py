# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""MCP servers as data: the built-in ones and the site's own, merged, checked and laid out.

A server that speaks MCP on stdio is started by the gateway package inside the server's own
container (the *bridge*), which offers it over HTTP to the gateway alone. An image with `http_path`
listens itself. A `url` is a server that runs elsewhere.
"""

from __future__ import annotations

import json
import re

from ansible_collections.intranet.mcp.plugins.module_utils import _images

BRIDGE_PORT = 8000
# What one process of a server that has one for each caller is reckoned with: a browser needs about
# 90 MiB idle and 350 with a page. More of them than fit, and the kernel ends one in mid-call.
PROCESS_MB = 256
_TOKEN = "token"  # noqa: S105  the file's name

_KEYS = {
    "command": (list, "the program and its arguments; it speaks MCP on stdio"),
    "description": (str, "one line for people"),
    "enabled": (bool, "false switches a built-in server off"),
    "env": (dict, "environment variables"),
    "expect": (dict, "what verify asserts: tools, call"),
    "headers": (dict, "request headers for a remote server"),
    "http_path": (str, "path of an image that speaks Streamable HTTP on port 8000 itself"),
    "image": (str, "an image of the manifest, or a full reference"),
    "memory_mb": (int, "memory limit in MiB"),
    "mode": (str, "shared (one process for all callers) or per_session"),
    "npm": (str, "an npm package with its version, installed at build"),
    "pip": (str, "a PyPI requirement with its version, installed at build"),
    "pids": (int, "process limit"),
    "port": (int, "port on the tool server's host"),
    "read_only": (bool, "read-only root file system"),
    "required": (bool, "the gateway is not ready without this server"),
    "secrets": (dict, "environment variables whose values are secret"),
    "shm_mb": (int, "shared memory in MiB"),
    "timeout_seconds": (int, "longest call"),
    "tools": (list, "globs of the tools offered"),
    "url": (str, "a server that runs elsewhere"),
    "volumes": (dict, "path in the container -> host directory, read-only unless it ends in :rw"),
}
_SOURCES = ("url", "image", "npm", "pip")


class DefinitionError(Exception):
    """An entry of mcp_servers that cannot be used; the message says what to change."""


def merge(builtin: dict, own: dict | None) -> dict:
    """Built-in servers overlaid with the site's own; entries with `enabled: false` are left out."""
    merged = {name: dict(entry) for name, entry in builtin.items()}
    for name, entry in (own or {}).items():
        if not isinstance(entry, dict):
            raise DefinitionError(
                f"mcp_servers.{name} is {entry!r}; expected a mapping such as "
                "{pip: 'my-server==1.0', command: [my-server], port: 8110}"
            )
        merged[name] = {**merged.get(name, {}), **entry}
    return {
        name: check(name, entry) for name, entry in merged.items() if entry.get("enabled", True)
    }


def check(name: str, entry: dict) -> dict:
    where = f"mcp_servers.{name}"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise DefinitionError(
            f"{where}: the name prefixes tool names and names a container; "
            "use up to 32 of a-z, 0-9 and '-'"
        )
    for key, value in entry.items():
        if key not in _KEYS:
            raise DefinitionError(f"{where}: unknown key {key!r}; known are {', '.join(_KEYS)}")
        kind, meaning = _KEYS[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise DefinitionError(
                f"{where}.{key} is {value!r}; expected {kind.__name__}: {meaning}"
            )
    sources = [key for key in _SOURCES if entry.get(key)]
    if len(sources) != 1:
        found = " and ".join(sources) or "none"
        raise DefinitionError(f"{where}: give exactly one of {', '.join(_SOURCES)}; found {found}")
    if entry.get("mode", "shared") not in ("shared", "per_session"):
        raise DefinitionError(f"{where}.mode is {entry['mode']!r}; expected shared or per_session")
    if not entry.get("url"):
        for key in ("port",) if entry.get("http_path") else ("port", "command"):
            if not entry.get(key):
                raise DefinitionError(f"{where}: missing {key}: {_KEYS[key][1]}")
    return entry


def tool_services(servers: dict, token: str, defaults: dict) -> list[dict]:
    """Service definitions of every server that runs in a container here.

    token: what the gateway shows at each of them. defaults: user, memory_mb, pids.
    """
    return [
        _tool_service(name, server, token, defaults)
        for name, server in sorted(servers.items())
        if not server.get("url")
    ]


def gateway_upstreams(servers: dict, endpoints: dict[str, str]) -> dict[str, dict]:
    """The gateway's `upstreams`. endpoints: server name -> host:port as the gateway reaches it."""
    return {
        name: _upstream(name, server, endpoints.get(name, ""))
        for name, server in sorted(servers.items())
    }


def header_secrets(servers: dict) -> dict[str, str]:
    """Headers of remote servers as secret files: they usually carry credentials."""
    return {
        _header_file(name, header): value
        for name, server in servers.items()
        for header, value in server.get("headers", {}).items()
    }


def _tool_service(name: str, server: dict, token: str, defaults: dict) -> dict:
    secrets = server.get("secrets", {})
    is_bridged = not server.get("http_path")
    service = {
        "name": f"tool-{name}",
        "image": _images.image_of_server(name, server),
        "user": defaults["user"],
        "command": ["--config", "/config/bridge.yml"] if is_bridged else server.get("command", []),
        "secrets": {_TOKEN: token, **(secrets if is_bridged else {})},
        "binds": [_bind(inside, outside) for inside, outside in server.get("volumes", {}).items()],
        "health": {"command": _PORT_ANSWERS, "start_seconds": 30},
        "read_only": server.get("read_only", True),
        "memory_mb": server.get("memory_mb", defaults["memory_mb"]),
        "shm_mb": server.get("shm_mb", 64),
        "pids": server.get("pids", defaults["pids"]),
    }
    if is_bridged:
        bridge = _bridge(name, server, service["memory_mb"])
        service["files"] = {"bridge.yml": json.dumps(bridge, indent=2) + "\n"}
    else:
        service["env"] = server.get("env", {})
        service["secret_env"] = secrets
    return service


def _bridge(name: str, server: dict, memory_mb: int) -> dict:
    """Configuration of the gateway package as the bridge of one stdio server."""
    program, *arguments = server["command"]
    return {
        "listen": {
            "host": "0.0.0.0",  # noqa: S104  the container's own
            "port": BRIDGE_PORT,
            # Nobody gets in without the token, under whatever name.
            "allowed_hosts": ["*"],
            "trust_caller_header": True,
        },
        "auth": {"static_keys": [{"alias": "gateway", "key_file": f"/secrets/{_TOKEN}"}]},
        "upstreams": {
            name: {
                "type": "stdio",
                "command": program,
                "args": arguments,
                "env": {"HOME": "/tmp", **server.get("env", {})},  # noqa: S108
                "env_from": {key: {"file": f"/secrets/{key}"} for key in server.get("secrets", {})},
                "mode": server.get("mode", "shared"),
                "max_processes": max(1, memory_mb // PROCESS_MB),
                "required": True,
            }
        },
    }


def _upstream(name: str, server: dict, endpoint: str) -> dict:
    upstream = {
        "type": "http",
        "required": server.get("required", False),
        "tools": server.get("tools", ["*"]),
    }
    if server.get("url"):
        upstream["url"] = server["url"]
        upstream["headers_from_files"] = {
            header: {"file": f"/secrets/{_header_file(name, header)}"}
            for header in server.get("headers", {})
        }
    else:
        path = server.get("http_path") or f"/servers/{name}/mcp"
        upstream["url"] = f"http://{endpoint}{path}"
        upstream["headers_from_files"] = {
            "Authorization": {"file": "/secrets/tool_server_token", "prefix": "Bearer "}
        }
        upstream["caller_header"] = not server.get("http_path")
    for key in ("mode", "timeout_seconds"):
        if key in server:
            upstream[key] = server[key]
    return upstream


_PORT_ANSWERS = [
    "python3",
    "-c",
    f"import socket; socket.create_connection(('127.0.0.1', {BRIDGE_PORT}), 4)",
]


def _bind(inside: str, outside: str) -> str:
    directory, _colon, mode = outside.rpartition(":")
    return f"{directory}:{inside}:rw" if mode == "rw" and directory else f"{outside}:{inside}:ro"


def _header_file(server: str, header: str) -> str:
    return f"header-{server}-{header.lower()}"
