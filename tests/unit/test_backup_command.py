# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The dump as the documentation has it: it reports a backup that succeeded, and no other."""

from __future__ import annotations

import os
import re
import subprocess
import time

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rules_hosts import BACKUP

ROLE = support.REPOSITORY / "roles/node_exporter"
each_language = pytest.mark.parametrize("language", ["en", "zh-CN"])


def documented(language):
    """Return the lines of the page's first console: where files go, and the dump."""
    text = (support.REPOSITORY / "docs" / language / "upkeep.md").read_text()
    console = re.search(r"```console\n(.*?)```", text, re.S)[1]
    return re.sub(r"^# ", "", console, flags=re.M)


@pytest.fixture
def dump(tmp_path):
    """Run the command with an engine that says or fails, as root's strictest shell would."""
    (tmp_path / "textfile").mkdir()

    def run(language, engine):
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{engine}\n")
        (tmp_path / "docker").chmod(0o755)
        command = re.sub(r"^textfile=.*", "textfile=textfile", documented(language), flags=re.M)
        path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        ended = subprocess.run(["sh", "-c", f"umask 077\n{command}"], cwd=tmp_path, env=path)
        return ended.returncode, [*(tmp_path / "textfile").iterdir()]

    return run


@each_language
def test_a_dump_that_succeeds_is_reported_to_whom_may_read_it(dump, language):
    began = int(time.time())
    code, (reported,) = dump(language, "echo dumped")
    assert (code, reported.name, reported.stat().st_mode & 0o777) == (0, "backup.prom", 0o644)
    name, at = reported.read_text().split()
    assert name == BACKUP and began <= int(at) <= time.time()


@each_language
def test_a_dump_that_fails_reports_nothing(dump, language):
    assert dump(language, "echo half; exit 1") == (1, [])


def test_the_documented_directory_is_the_one_that_is_read():
    made = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__node_exporter_textfile"]
    directory = made.replace("{{ platform_data_dir }}", "/var/lib/intranet-mcp")
    assert all(f"textfile={directory}\n" in documented(page) for page in ("en", "zh-CN"))
    service = yaml.safe_load((ROLE / "defaults/main.yml").read_text())["node_exporter_service"]
    assert service["binds"] == ["{{ __node_exporter_textfile }}:/textfile:ro,z"]
    assert "--collector.textfile.directory=/textfile" in service["command"]
