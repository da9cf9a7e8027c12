# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""MCP servers out of their publishers' images, which may have no shell, no libc and no Python.

What the platform needs in such a container is mounted into it: Python, the gateway package and
every library they need, the loader included. It starts the image's own program, on stdio behind the
bridge, or listening itself, and asks whether that answers. Nothing outside the container drives it,
so nobody needs the engine's socket.
"""

from __future__ import annotations

import json
import posixpath

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.engine import authorities
from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import LABELLED

# Where a tool server listens in its container, unless its image says otherwise: the catalog's
# `container_port`, which a test compares.
PORT = 8000
# Where the directory `bridge` of image tool-bridge is mounted.
PLACE = "/bridge"
PYTHON = [f"{PLACE}/ld.so", "--library-path", f"{PLACE}/lib", f"{PLACE}/bin/python3"]
# What the bundled Python must find, and must not; the image's program gets what its image says.
ENVIRONMENT = {
    "PYTHONHOME": PLACE,
    "PYTHONPATH": f"{PLACE}/packages",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    # No modules of the image: its working directory and the user's home may have some of any name.
    "PYTHONSAFEPATH": "1",
    "PYTHONNOUSERSITE": "1",
    "LD_LIBRARY_PATH": "",
    "LD_PRELOAD": "",
}
MOUNTS = (PLACE, "/config", "/secrets", authorities.INSIDE)

# Where nothing else may be mounted: what is the platform's, and what is the kernel's.
TAKEN = (*MOUNTS, "/proc", "/sys", "/dev")

_TMP = "/tmp"  # noqa: S108  inside the container
_EMPTY: dict = {"entrypoint": [], "cmd": [], "env": [], "volumes": {}}

# Asks the container's own address: a server on loopback alone would be healthy and out of reach.
_ANSWERS = """
import http.client, socket, sys
address, port, path = socket.gethostbyname(socket.gethostname()), int(sys.argv[1]), sys.argv[2]
if path:
    connection = http.client.HTTPConnection(address, port, timeout=4)
    connection.request("GET", path)
    status = connection.getresponse().status
    sys.exit(f"HTTP {status}" if status >= 400 else 0)
else:
    socket.create_connection((address, port), 4)
"""


def said(names: list[str], references: dict[str, str], found: list[dict]) -> dict[str, dict]:
    """Return what the engine says of each image: entrypoint, cmd, env and volumes.

    found: images as the engine describes them; one that is not there yet has nothing to say.
    """
    by_tag = {tag: image.get("Config") or {} for image in found for tag in image["RepoTags"] or []}
    return {
        name: {key: config.get(key.capitalize()) or empty for key, empty in _EMPTY.items()}
        if (config := by_tag.get(references[name])) is not None
        else {}
        for name in names
    }


def program(name: str, server: dict, image: dict) -> list[str]:
    """Return the program that a server's container runs, and its arguments.

    image: what the engine says of the image (see `said`), empty where it is not there yet, as on a
    bare host in check mode.
    """
    if server.get("command"):
        return server["command"]
    argv = [*image.get("entrypoint", []), *server.get("args", image.get("cmd", []))]
    if image and not argv:
        raise Unusable(
            f"mcp_servers.{name}: its image has neither ENTRYPOINT nor CMD; expected to know what "
            "to start: set command"
        )
    return argv or ["unknown"]


def environment(server: dict, image: dict) -> dict[str, str]:
    """Return what the program has in its environment beside what it inherits.

    The image's own values, since Python here needs others; but whom to trust says the platform.
    """
    own = _variables(image)
    kept = {name: own[name] for name in own if name not in authorities.ENVIRONMENT}
    return {"HOME": _TMP, **kept, **server.get("env", {})}


def normalized(path: str) -> str:
    """Return an absolute path of a container as the kernel reads it."""
    return posixpath.normpath(f"/{path.lstrip('/')}")


def is_taken(path: str) -> bool:
    """Tell whether a normalized path is one where only the platform or the kernel mounts."""
    return path == "/" or any(f"{path}/".startswith(f"{taken}/") for taken in TAKEN)


def with_bridge(service: dict, image: dict, directory: str) -> dict:
    """Return the service with the bridge, a directory of the host, mounted into its image."""
    binds = [*service["binds"], f"{directory}:{PLACE}:ro,{LABELLED}"]
    return {
        **service,
        "entrypoint": PYTHON,
        "env": _for_python(image),
        "binds": binds,
        "tmpfs": _in_memory({**service, "binds": binds}, image),
    }


def bridged(service: dict) -> dict:
    """Return the service of a stdio server, whose bridge speaks to its program."""
    return {
        **service,
        "command": ["-m", "mcp_gateway", "--config", "/config/bridge.yml"],
        "health": _health(PORT, ""),
    }


def listening(service: dict, server: dict, argv: list[str], env: dict) -> dict:
    """Return the service of a server that listens itself."""
    launch = {
        "argv": argv,
        "env": env,
        "secrets": {key: f"/secrets/{key}" for key in server.get("secrets", {})},
        "hidden": sorted(service["env"]),
    }
    return {
        **service,
        "command": ["-m", "mcp_gateway.launch", "/config/launch.json"],
        "files": {"launch.json": json.dumps(launch, indent=2) + "\n"},
        "health": _health(server.get("http_port", PORT), server.get("http_health", "")),
    }


def _variables(image: dict) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in image.get("env", []))


def _for_python(image: dict) -> dict[str, str]:
    """Return the container's environment: what the image says is for its program alone.

    Variables such as LD_AUDIT, OPENSSL_CONF or PYTHONWARNINGS would change Python here. The engine
    removes none of an image's; empty ones count as absent. Whom to trust says the platform, and
    PATH means nothing to Python.
    """
    names = _variables(image).keys() - authorities.ENVIRONMENT.keys() - {"PATH"}
    return {**dict.fromkeys(sorted(names), ""), **ENVIRONMENT}


def _in_memory(service: dict, image: dict) -> list[str]:
    """Return what of a container is memory: /tmp, and each VOLUME of its image.

    The engine would make those disk without bound, also where the root file system is read-only.
    One where something is mounted is that.
    """
    uid, gid = service["user"].split(":")
    bound = f"size={max(1, service['memory_mb'] // 2)}m,mode=0700,uid={uid},gid={gid}"
    mounted = {_TMP, "/config", *(bind.split(":")[1] for bind in service["binds"])}
    mounted |= {"/secrets"} if service["secrets"] else set()
    declared = sorted({normalized(path) for path in image.get("volumes", {})} - mounted)
    for path in declared:
        if is_taken(path) or ":" in path:
            raise Unusable(
                f"mcp_servers.{service['name'].removeprefix('tool-')}: its image declares VOLUME "
                f"{path}; expected a path without ':' and outside of {', '.join(TAKEN)}: take an "
                "image without it"
            )
    return [_TMP, *(f"{path}:{bound}" for path in declared)]


def _health(port: int, path: str) -> dict:
    return {"command": [*PYTHON, "-c", _ANSWERS, str(port), path], "start_seconds": 30}
