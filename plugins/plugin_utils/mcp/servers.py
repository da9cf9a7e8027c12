# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""MCP servers as data: the built-in ones and the site's own, merged, checked and laid out.

A server that speaks MCP on stdio is started by the gateway package inside the server's own
container (the *bridge*), which offers it over HTTP to the gateway alone. An image with `http_path`
listens itself. Images that are not built here have no bridge: it is mounted (see _mcp_images). A
`url` is a server that runs elsewhere.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.firewall import egress
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import images, own_credentials

# What one process of a server that has one for each caller is reckoned with: a browser needs about
# 90 MiB idle and 350 with a page. More of them than fit, and the kernel ends one in mid-call.
PROCESS_MB = 256
_TOKEN = "token"  # noqa: S105  the file's name

_KEYS = {
    "args": (list, "arguments for an image's own entrypoint, in place of the image's"),
    "command": (list, "the program and its arguments; it speaks MCP on stdio"),
    "description": (str, "one line for people"),
    "egress": (list, f"where it may connect to, nowhere by default: {egress.EXPECTED}"),
    "enabled": (bool, "false switches a built-in server off"),
    "env": (dict, "environment variables"),
    "expect": (dict, "what verify asserts: tools, call"),
    "headers": (dict, "request headers for a remote server, or an image with http_path"),
    "http_health": (
        str,
        "path that an image with http_path answers with 2xx; else its port is asked",
    ),
    "http_path": (str, "path of an image that speaks Streamable HTTP itself"),
    "http_port": (int, f"port that an image with http_path listens on, {images.PORT} by default"),
    "image": (str, "an image of the manifest, or a full reference"),
    "memory_mb": (int, "memory limit in MiB"),
    "mode": (str, "shared (one process for all callers) or per_session"),
    "npm": (str, "an npm package with its version, installed at build"),
    own_credentials.KEY: (
        dict,
        "each person's own credential: header, prefix, and oauth or exchange",
    ),
    "pip": (str, "a PyPI requirement with its version, installed at build"),
    "pids": (int, "process limit"),
    "port": (int, "port on the tool server's host"),
    "read_only": (bool, "read-only root file system"),
    "required": (bool, "the gateway is not ready without this server"),
    "secrets": (dict, "environment variables whose values are secret"),
    "shm_mb": (int, "shared memory in MiB"),
    "timeout_seconds": (int, "longest call"),
    "tools": (list, "globs of the tools offered; with ! before them, of those that are not"),
    "url": (str, "a server that runs elsewhere"),
    "user": (str, "uid:gid that an image runs as, tool_server_user by default"),
    "volumes": (dict, "path in the container -> host directory, read-only unless it ends in :rw"),
}
_SOURCES = ("url", "image", "npm", "pip")
# What only some entries have, and the key that makes it one of those.
_BELONGS = {
    "args": "image",
    "user": "image",
    "http_path": "image",
    "http_port": "http_path",
    "http_health": "http_path",
}

_HEADER = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]{1,100}")

_VARIABLE = re.compile(r"[A-Za-z_][0-9A-Za-z_.-]{0,199}")


def merge(builtin: dict, own: dict | None) -> dict:
    """Built-in servers overlaid with the site's own; entries with `enabled: false` are left out."""
    merged = {name: dict(entry) for name, entry in builtin.items()}
    for name, entry in (own or {}).items():
        if not isinstance(entry, dict):
            raise Unusable(
                f"mcp_servers.{name} is {entry!r}; expected a mapping such as "
                "{pip: 'my-server==1.0', command: [my-server], port: 8110}"
            )
        merged[name] = {**_kept(merged.get(name, {}), entry), **entry}
    return {
        name: check(name, entry) for name, entry in merged.items() if entry.get("enabled", True)
    }


def _kept(builtin: dict, entry: dict) -> dict:
    """What holds of a built-in server still: another image has another program and other tools."""
    if not any(entry.get(source) for source in _SOURCES):
        return builtin
    return {key: builtin[key] for key in builtin if key not in (*_SOURCES, "command", "expect")}


def check(name: str, entry: dict) -> dict:
    where = f"mcp_servers.{name}"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise Unusable(
            f"{where}: the name prefixes tool names and names a container; "
            "use up to 32 of a-z, 0-9 and '-'"
        )
    for key, value in entry.items():
        if key not in _KEYS:
            raise Unusable(f"{where}: unknown key {key!r}; known are {', '.join(_KEYS)}")
        kind, meaning = _KEYS[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise Unusable(f"{where}.{key} is {value!r}; expected {kind.__name__}: {meaning}")
    sources = [key for key in _SOURCES if entry.get(key)]
    if len(sources) != 1:
        found = " and ".join(sources) or "none"
        raise Unusable(f"{where}: give exactly one of {', '.join(_SOURCES)}; found {found}")
    if entry.get("mode", "shared") not in ("shared", "per_session"):
        raise Unusable(f"{where}.mode is {entry['mode']!r}; expected shared or per_session")
    for place in entry.get("egress", []):
        try:
            egress.parse(place)
        except Unusable as error:
            raise Unusable(f"{where}.egress: {error}") from error
    if not entry.get("url"):
        for key in ("port",) if _has_program(entry) else ("port", "command"):
            if not entry.get(key):
                raise Unusable(f"{where}: missing {key}: {_KEYS[key][1]}")
    _check_headers(where, entry)
    _check_secrets(where, entry)
    _check_volumes(where, entry)
    _check_image(where, entry)
    own_credentials.check(where, entry)
    return entry


def _has_program(entry: dict) -> bool:
    """Whether the image says itself what it starts: one that is built here does not."""
    return bool(entry.get("http_path")) or manifest.is_reference(entry.get("image"))


def _check_headers(where: str, entry: dict) -> None:
    """Each becomes the name of a file, in small letters."""
    seen = set()
    for header in entry.get("headers", {}):
        if not isinstance(header, str) or not _HEADER.fullmatch(header):
            raise Unusable(
                f"{where}.headers: {header!r}; expected a header's name, such as 'X-Api-Key'"
            )
        if header.lower() in seen:
            raise Unusable(
                f"{where}.headers has {header} twice, in other letters; expected each once: "
                "servers do not tell them apart"
            )
        seen.add(header.lower())


def _check_secrets(where: str, entry: dict) -> None:
    """Each becomes the name of a file, too."""
    for name in entry.get("secrets", {}):
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise Unusable(
                f"{where}.secrets: {name!r}; expected the name of an environment variable"
            )
        if name == _TOKEN and entry.get("http_path"):
            raise Unusable(
                f"{where}.secrets: the name {name!r} is taken: with http_path, /secrets/{name} is "
                "what the gateway shows; expected another name"
            )


def _check_volumes(where: str, entry: dict) -> None:
    seen = set()
    for inside, outside in entry.get("volumes", {}).items():
        if not isinstance(inside, str) or not inside.startswith("/") or ":" in inside:
            raise Unusable(
                f"{where}.volumes: {inside!r}; expected a path that starts with / and has no ':'"
            )
        if not isinstance(outside, str) or not re.fullmatch(r"[^:]+(:(rw|z|rw,z))?", outside):
            raise Unusable(
                f"{where}.volumes: {inside} is {outside!r}; expected a directory of the host, with "
                ":rw, :z (SELinux's label for containers) or :rw,z at its end or without"
            )
        path = images.normalized(inside)
        if images.is_taken(path):
            meant = "" if path == inside else f", which is {path!r},"
            raise Unusable(
                f"{where}.volumes: {inside!r}{meant} is taken; expected a path other than / and "
                f"outside of {', '.join(images.TAKEN)}"
            )
        if path in seen:
            raise Unusable(f"{where}.volumes has {inside!r} twice; expected each path once")
        seen.add(path)


def _check_image(where: str, entry: dict) -> None:
    for key, needed in _BELONGS.items():
        if key in entry and not entry.get(needed):
            raise Unusable(f"{where}.{key} belongs to {needed}, which is not set: {_KEYS[key][1]}")
    if "args" in entry and entry.get("command"):
        raise Unusable(
            f"{where} has command and args; expected one of them: command is the whole program, "
            "args are for the image's own entrypoint"
        )
    _check_user(f"{where}.user", entry.get("user", "1:1"))
    for key in ("http_path", "http_health"):
        if not entry.get(key, "/").startswith("/"):
            raise Unusable(f"{where}.{key} is {entry[key]!r}; expected a path that starts with /")


def _check_user(where: str, user: str) -> None:
    if not re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user):
        raise Unusable(
            f"{where} is {user!r}; expected numbers 'uid:gid', both not root's (0): secrets are "
            "handed to exactly this user, and root or its group is more than a tool needs"
        )


def tool_services(
    servers: dict, tokens: dict[str, str], defaults: dict, beside: dict | None = None
) -> list[dict]:
    """Service definitions of every server that runs in a container here.

    tokens: what the gateway shows at each of them, by server. defaults: user, memory_mb, pids.
    beside: of images that were not built here, `images` (name -> what the engine says of it) and
    `bridge`, the directory that is mounted into their containers.
    """
    _check_user("tool_server_user", str(defaults["user"]))
    beside = beside or {"images": {}, "bridge": ""}
    return [
        _tool_service(name, servers[name], tokens[name], defaults, beside)
        for name in contained(servers)
    ]


def contained(servers: dict) -> list[str]:
    """Names of the servers that run in a container here."""
    return sorted(name for name, server in servers.items() if not server.get("url"))


def token_secrets(tokens: dict[str, str]) -> dict[str, str]:
    """What the gateway shows at each server, as its secret files."""
    return {_token_file(name): token for name, token in tokens.items()}


def offered(server: dict, tools: list[str]) -> list[str]:
    """Those of a server's tools that the gateway offers, as it reads the entry's globs."""
    globs = server.get("tools", ["*"])
    positive = [glob for glob in globs if not glob.startswith("!")]
    negative = [glob[1:] for glob in globs if glob.startswith("!")]
    return [
        tool
        for tool in tools
        if any(fnmatch.fnmatchcase(tool, glob) for glob in positive or ["*"])
        and not any(fnmatch.fnmatchcase(tool, glob) for glob in negative)
    ]


def gateway_upstreams(
    servers: dict, endpoints: dict[str, str], exchange: dict | None = None
) -> dict[str, dict]:
    """The gateway's `upstreams`. endpoints: server name -> host:port as the gateway reaches it.

    exchange: its client at the company's provider, see `upstream_tokens.exchange_client`.
    """
    return {
        name: _upstream(name, server, endpoints.get(name, ""), exchange or {})
        for name, server in sorted(servers.items())
    }


def header_secrets(servers: dict) -> dict[str, str]:
    """Headers of remote servers as secret files: they usually carry credentials."""
    return {
        _header_file(name, header): value
        for name, server in servers.items()
        for header, value in server.get("headers", {}).items()
    }


def _tool_service(name: str, server: dict, token: str, defaults: dict, beside: dict) -> dict:
    image_name = manifest.image_of_server(name, server)
    image = beside["images"].get(image_name)
    secrets = server.get("secrets", {})
    service = {
        "name": f"tool-{name}",
        "image": image_name,
        # Never the image's own: its number may be a person's on this host, and processes of one
        # number read each other's environment and memory.
        "user": server.get("user", defaults["user"]),
        "command": ["--config", "/config/bridge.yml"],
        "secrets": secrets,
        "binds": [_bind(inside, outside) for inside, outside in server.get("volumes", {}).items()],
        "health": {"command": _PORT_ANSWERS, "start_seconds": 30},
        "read_only": server.get("read_only", True),
        "memory_mb": server.get("memory_mb", defaults["memory_mb"]),
        "shm_mb": server.get("shm_mb", 64),
        "pids": server.get("pids", defaults["pids"]),
    }
    if image is None:
        env = {"HOME": "/tmp", **server.get("env", {})}  # noqa: S108  the container's own
        return _behind_bridge(service, name, server, token, server["command"], env)
    argv, env = images.program(name, server, image), images.environment(server, image)
    if server.get("http_path"):
        service["secrets"] = {**secrets, _TOKEN: token}
        service = images.with_bridge(service, image, beside["bridge"])
        return images.listening(service, server, argv, env)
    service = images.with_bridge(service, image, beside["bridge"])
    return images.bridged(_behind_bridge(service, name, server, token, argv, env))


def _behind_bridge(
    service: dict, name: str, server: dict, token: str, argv: list[str], env: dict
) -> dict:
    bridge = _bridge(name, {**server, "command": argv, "env": env}, token, service["memory_mb"])
    return {**service, "files": {"bridge.yml": json.dumps(bridge, indent=2) + "\n"}}


def _bridge(name: str, server: dict, token: str, memory_mb: int) -> dict:
    """Configuration of the gateway package as the bridge of one stdio server.

    The server runs as the same user and reads what the bridge reads. So the bridge knows no more of
    the token than its digest, by which it recognizes the gateway.
    """
    program, *arguments = server["command"]
    return {
        "listen": {
            "host": "0.0.0.0",  # noqa: S104  the container's own
            "port": images.PORT,
            # Nobody gets in without the token, under whatever name.
            "allowed_hosts": ["*"],
            "trust_caller_header": True,
        },
        "auth": {"static_keys": [{"alias": "gateway", "sha256": _digest(token)}]},
        "upstreams": {
            name: {
                "type": "stdio",
                "command": program,
                "args": arguments,
                "env": server["env"],
                "env_from": {key: {"file": f"/secrets/{key}"} for key in server.get("secrets", {})},
                "mode": server.get("mode", "shared"),
                "max_processes": max(1, memory_mb // PROCESS_MB),
                "required": True,
            }
        },
    }


def _upstream(name: str, server: dict, endpoint: str, exchange: dict) -> dict:
    upstream = {
        "type": "http",
        "required": server.get("required", False),
        "tools": server.get("tools", ["*"]),
    }
    if server.get("url"):
        upstream["url"] = server["url"]
        upstream["headers_from_files"] = _headers(name, server)
    else:
        path = server.get("http_path") or f"/servers/{name}/mcp"
        upstream["url"] = f"http://{endpoint}{path}"
        own = {"Authorization": {"file": f"/secrets/{_token_file(name)}", "prefix": "Bearer "}}
        given = _headers(name, server)
        replaced = {header.lower() for header in given}
        kept = {header: value for header, value in own.items() if header.lower() not in replaced}
        upstream["headers_from_files"] = {**kept, **given}
        upstream["caller_header"] = not server.get("http_path")
    for key in ("mode", "timeout_seconds"):
        if key in server:
            upstream[key] = server[key]
    if own_credentials.KEY in server:
        upstream[own_credentials.KEY] = own_credentials.gateway_entry(name, server, exchange)
    return upstream


def _headers(name: str, server: dict) -> dict[str, dict]:
    return {
        header: {"file": f"/secrets/{_header_file(name, header)}"}
        for header in server.get("headers", {})
    }


_PORT_ANSWERS = [
    "python3",
    "-c",
    f"import socket; socket.create_connection(('127.0.0.1', {images.PORT}), 4)",
]


def _bind(inside: str, outside: str) -> str:
    directory, _colon, options = outside.partition(":")
    mode = options if options.startswith("rw") else ",".join(["ro", *filter(None, [options])])
    return f"{directory}:{images.normalized(inside)}:{mode}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _token_file(server: str) -> str:
    return f"token-{server}"


def _header_file(server: str, header: str) -> str:
    """No server's name has `_`: `crm` with `X-Key` is not `crm-x` with `Key`."""
    return f"header-{server}_{header.lower()}"
