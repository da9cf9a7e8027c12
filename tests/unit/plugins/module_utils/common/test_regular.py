# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files that a container may have replaced by something else."""

from __future__ import annotations

import io
import os
import socket

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common import regular


def test_a_file_is_read(tmp_path):
    (tmp_path / "x").write_bytes(b"1\n2")
    with regular.open_regular(str(tmp_path / "x")) as stream:
        assert list(regular.lines(stream)) == [b"1\n", b"2"]


@pytest.mark.parametrize("kind", ["pipe", "link", "directory", "socket", "device"])
def test_nothing_else_is_opened_or_waited_for(tmp_path, kind):
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    path = "/dev/zero" if kind == "device" else str(path)
    with pytest.raises(OSError):
        regular.open_regular(path)


def test_what_is_not_there_is_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError):
        regular.open_regular(str(tmp_path / "x"))


def test_a_line_without_an_end_comes_in_pieces():
    pieces = list(regular.lines(io.BytesIO(b"x" * (regular.MAX_LINE_BYTES * 2 + 1))))
    assert [len(piece) for piece in pieces] == [regular.MAX_LINE_BYTES] * 2 + [1]
