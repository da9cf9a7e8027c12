# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One run at a time works on the images of a host; a second one waits and says so."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

_POLL_SECONDS = 0.5


@contextlib.contextmanager
def host_lock(directory: str, timeout: int, report):
    """Hold the lock; a process that ends, however it ends, gives it back."""
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, "lock")
    with open(path, "a+") as stream:
        _wait(stream, path, timeout, report)
        stream.seek(0)
        stream.truncate()
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield


def _wait(stream, path: str, timeout: int, report) -> None:
    deadline = time.monotonic() + timeout
    has_told = False
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
        stream.seek(0)
        holder = stream.read().strip() or "unknown"
        if not has_told:
            report(f"process {holder} works on this host's images, waiting for it")
            has_told = True
        if time.monotonic() > deadline:
            raise Unusable(
                f"process {holder} has held {path} for more than {timeout} s; expected the other "
                "run to end: wait for it, or stop that process, and run again"
            )
        time.sleep(_POLL_SECONDS)
