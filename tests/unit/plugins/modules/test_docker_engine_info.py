# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.modules.docker_engine_info import (
    daemon,
    managed_by,
)


@pytest.mark.parametrize(
    ("pid", "control_group", "supervised", "expected"),
    [
        (0, "", "", "none"),
        (812, "0::/system.slice/docker.service", "", "systemd"),
        (1, "0::/init.scope", "", "systemd"),
        (812, "0::/", "812\n", "supervisor"),
        (812, "0::/", "700\n", "other"),
        (812, "0::/user.slice", "", "other"),
    ],
)
def test_a_daemon_belongs_to_whoever_started_it(pid, control_group, supervised, expected):
    assert managed_by(pid, control_group, supervised) == expected


def test_no_socket_is_no_daemon(tmp_path):
    assert daemon(str(tmp_path / "docker.sock")) == ("", 0)
