# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Connects from inside a container's network, as a program in there would.

A child process enters the network namespace of the container, so that the container needs no
program of its own for it. Every connection is begun at once; only the handshake counts, nothing is
sent.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import selectors
import socket
import time

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused

CONNECT_SECONDS = 2.0
_CLONE_NEWNET = 0x40000000
_PENDING = (0, errno.EINPROGRESS)

Target = tuple[str, int]


def reached(pid: int, targets: list[Target]) -> set[Target]:
    """Return those targets (address and port) that a process beside `pid` can connect to."""
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        os.close(told)
        _tell(pid, targets, tell)
    os.close(tell)
    text = b""
    try:
        while piece := os.read(told, 65536):
            text += piece
    finally:
        os.close(told)
        os.waitpid(child, 0)
    try:
        return set(map(tuple, json.loads(text)))
    except ValueError:
        found = text.decode(errors="replace").strip() or "the child process ended"
        raise Refused(
            f"could not connect from inside process {pid} ({found})",
            "root, and a running container",
            "run it as root; where that cannot be, declare the check not applicable",
        ) from None


def _tell(pid: int, targets: list[Target], tell: int) -> None:
    try:
        with open(f"/proc/{pid}/ns/net", "rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        os.write(tell, json.dumps(open_among(targets)).encode())
    except Exception as error:
        os.write(tell, str(error).encode()[:4096])
    finally:
        os._exit(0)  # nothing of the parent is to be cleaned up here


def open_among(targets: list[Target], seconds: float = CONNECT_SECONDS) -> list[Target]:
    """Return the targets that this process can connect to within the time."""
    waiting = selectors.DefaultSelector()
    for target in targets:
        probe = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET)
        probe.setblocking(False)
        if probe.connect_ex(target) in _PENDING:
            waiting.register(probe, selectors.EVENT_WRITE, target)
        else:
            probe.close()
    found = []
    deadline = time.monotonic() + seconds
    while waiting.get_map() and time.monotonic() < deadline:
        for key, _events in waiting.select(deadline - time.monotonic()):
            waiting.unregister(key.fileobj)
            with key.fileobj as probe:
                if not probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    found.append(key.data)
    for key in list(waiting.get_map().values()):
        key.fileobj.close()
    waiting.close()
    return found
