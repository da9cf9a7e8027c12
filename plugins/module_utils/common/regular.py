# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files in directories that a container writes into."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

# What is longer is read in pieces.
MAX_LINE_BYTES = 1 << 20


def open_regular(path: str) -> BinaryIO:
    """Open a file for reading, as root may be asked to.

    OSError for a link, a pipe or a device in its place: it would be read elsewhere, or for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", path)
    return os.fdopen(descriptor, "rb")


def lines(stream: BinaryIO) -> Iterator[bytes]:
    """Return the lines of a file; one without an end fills no memory."""
    return iter(lambda: stream.readline(MAX_LINE_BYTES), b"")
