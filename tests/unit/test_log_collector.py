# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which files of the log collector go when they take too much."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
import support

PROGRAM = support.REPOSITORY / "roles/image/files/rsyslog/log-collector"


@pytest.fixture
def kept(tmp_path):
    """Return the collector's folder, which keep() fills and bounds to 4 MiB."""
    logs = tmp_path / "logs"
    programs = tmp_path / "bin"
    programs.mkdir()
    # One round, and it ends like the program that it looks after.
    (programs / "rsyslogd").write_text("#!/bin/sh\nsleep 1\n")
    (programs / "rsyslogd").chmod(0o755)

    def keep(**files: int) -> set[str]:
        for hours, (name, mebibytes) in enumerate(files.items()):
            path = logs / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(mebibytes << 20))
            os.utime(path, (at := time.time() - 3600 * (len(files) - hours), at))
        environment = {"PATH": f"{programs}:{os.environ['PATH']}", "LOGS": str(logs), "PAUSE": "9"}
        subprocess.run([PROGRAM, "30", "4", "64"], env=environment, timeout=20, check=False)
        return {str(path.relative_to(logs)) for path in logs.rglob("*") if path.is_file()}

    return keep


def test_a_service_that_prints_a_lot_pushes_out_no_audit_lines(kept):
    files = {"2999-01-01__audit.log": 1, "2999-01-01__app1__redis.log": 1}
    files |= {"2999-01-02__audit.log": 1, "2999-01-02__app1__tool-wiki.log": 3}
    assert kept(**files) == {"2999-01-01/audit.log", "2999-01-02/audit.log"}


def test_the_oldest_go_first(kept):
    files = {"2999-01-01__app1__redis.log": 2, "2999-01-02__app1__redis.log": 3}
    assert kept(**files) == {"2999-01-02/app1/redis.log"}


def test_audit_lines_go_where_they_alone_are_too_much(kept):
    files = {f"2999-01-0{day}__audit.log": 2 for day in (1, 2, 3)}
    assert kept(**files) == {"2999-01-02/audit.log", "2999-01-03/audit.log"}
