# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs a program in a container to ask it something: a database, a cache, a migration tool."""

from __future__ import annotations

import http.client
import json
import struct
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils import _docker, _errors

SOCKET = "/var/run/docker.sock"


def run_in(container: str, argv: list[str], path: str = SOCKET, timeout: float = 30):
    """Run a program in a running container; return (exit status, stdout, stderr)."""
    made = _post(path, f"/containers/{container}/exec", timeout, _attached(argv))
    execution = json.loads(made)["Id"]
    started = _post(path, f"/exec/{execution}/start", timeout, {"Detach": False, "Tty": False})
    ended, _peer = _docker.get(path, f"/exec/{execution}/json")
    stdout, stderr = demultiplex(started)
    return (ended or {}).get("ExitCode"), stdout, stderr


def demultiplex(stream: bytes) -> tuple[str, str]:
    """Split what an attached program wrote: frames of a stream number, a length and bytes."""
    texts = {1: b"", 2: b""}
    while len(stream) >= 8:
        number, length = struct.unpack(">B3xI", stream[:8])
        texts[number] = texts.get(number, b"") + stream[8 : 8 + length]
        stream = stream[8 + length :]
    return texts[1].decode("utf-8", "replace"), texts[2].decode("utf-8", "replace")


def _attached(argv: list[str]) -> dict[str, Any]:
    return {"AttachStdout": True, "AttachStderr": True, "Cmd": argv}


def _post(path: str, resource: str, timeout: float, body: dict[str, Any]) -> bytes:
    connection = _docker.EngineConnection(path, timeout)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", resource, json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.read()
    except TimeoutError as error:
        raise _errors.TimedOut(
            f"a program in {resource.split('/')[2]} said nothing for {timeout:g} s",
            "an answer in that time",
            "look at the load of the host and the container's log",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _errors.Unreachable(
            f"the Docker engine at {path} cannot be asked ({error})",
            "a running engine, and a user who may use it",
            "start it, or run the task as root",
        ) from error
    finally:
        connection.close()
    if response.status >= 300:
        message = answer.decode("utf-8", "replace").strip()[:200]
        raise _errors.Unknown(
            f"the Docker engine refuses {resource} (HTTP {response.status} {message})",
            "a running container of that name",
            "start it with site.yml",
        )
    return answer
