# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One run at a time works on the images of a host."""

from __future__ import annotations

import os

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images.lock import host_lock


def test_a_second_run_names_the_first_and_stops_in_time(tmp_path):
    told = []
    with host_lock(str(tmp_path), 0, told.append):
        second = host_lock(str(tmp_path), 0, told.append)
        with pytest.raises(Unusable, match=f"process {os.getpid()} has held"):
            second.__enter__()
    assert told == [f"process {os.getpid()} works on this host's images, waiting for it"]


def test_a_run_that_failed_holds_nothing(tmp_path):
    with pytest.raises(KeyError), host_lock(str(tmp_path), 0, print):
        raise KeyError
    with host_lock(str(tmp_path), 0, print):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
