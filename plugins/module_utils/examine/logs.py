# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What waits in the queues of log shipper and collector, as rsyslog keeps it on disk."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import time
from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.module_utils.common.regular import (
    lines,
    open_regular,
)

# Where it sends to, by the service whose queue it is.
RECEIVERS = {"log_shipper": "the log collector", "log_collector": "the SIEM"}
# An open connection takes what waits within less.
PAUSE_SECONDS = 2.0
# Of what rsyslogd says of a queue, some hundred.
MAX_BYTES = 1 << 16
_LINES = re.compile(r"\+iQueueSize:2:\d+:(\d+):")
_BYTES = re.compile(r"\+tVars\.disk\.sizeOnDisk:2:\d+:(\d+):")


@dataclass(frozen=True)
class Queue:
    """A queue of one of the two. before: the lines in it PAUSE_SECONDS earlier."""

    service: str
    name: str
    lines: int
    size: int
    before: int = 0

    @property
    def is_stuck(self) -> bool:
        """Whether something waits, and did not become less."""
        return 0 < self.before <= self.lines


def read(data_dir: str, pause: float = PAUSE_SECONDS) -> list[Queue]:
    """Return the queues of this host; one that is empty is read once."""
    first = _read(data_dir)
    if not any(count for count, _size in first.values()):
        pause = 0
    time.sleep(pause)
    return [
        Queue(service, name, count, size, first.get((service, name), (0, 0))[0])
        for (service, name), (count, size) in sorted(_read(data_dir).items())
    ]


def _read(data_dir: str) -> dict[tuple[str, str], tuple[int, int]]:
    found = {}
    for service in RECEIVERS:
        for path in glob.glob(os.path.join(data_dir, service, "state", "*.qi")):
            # One that is emptied meanwhile is gone.
            with contextlib.suppress(OSError), open_regular(path) as file:
                text = file.read(MAX_BYTES).decode("ascii", "replace")
                numbers = [pattern.search(text) for pattern in (_LINES, _BYTES)]
                name = os.path.basename(path).removesuffix(".qi")
                found[service, name] = tuple(int(n.group(1)) if n else 0 for n in numbers)
    return found


def arrived(folder: str, host: str, text: str) -> bool:
    """Whether the collector's files have a line of a host's shipper. Only of its newest days."""
    for day in sorted(glob.glob(os.path.join(folder, "????-??-??")))[-2:]:
        for path in glob.glob(os.path.join(glob.escape(day), host, "log_shipper.log*")):
            with contextlib.suppress(OSError), open_regular(path) as file:
                if any(text.encode() in line for line in lines(file)):
                    return True
    return False
