# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A large file on its way to a real host over SSH, with what Ansible's defaults say of it."""

from __future__ import annotations

import hashlib
import re
import secrets

import pytest
from servers.ssh_host import SshHost

pytestmark = pytest.mark.integration

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - intranet.mcp.large_file: {src: weights, dest: /srv/weights, mode: "0640"}
"""


@pytest.fixture(scope="module")
def host(docker, tmp_path_factory):
    found = SshHost(docker, tmp_path_factory.mktemp("engineer"))
    (found.folder / "play.yml").write_text(PLAY)
    (found.folder / "weights").write_bytes(secrets.token_bytes(5_000_000))
    return found


@pytest.fixture
def copied(host):
    """`copied(...)` runs the play; returns how much changed, and how files were sent."""

    def run(*options, **environment):
        play = host.start_play("play.yml", "-vvv", *options, **environment)
        output = play.communicate(timeout=120)[0]
        assert play.returncode == 0, output
        sent = [line for line in output.splitlines() if "SSH: EXEC" in line and "sftp" in line]
        return int(re.search(r"changed=(\d+)", output)[1]), sent

    return run


def test_it_is_foreseen_sent_once_without_compression_and_then_there(host, copied):
    assert copied("--check")[0] == 1
    changed, sent = copied()
    assert changed == 1 and sent
    assert all("ControlPath=none" in one and " -C " not in one for one in sent), sent
    assert copied()[0] == 0
    expected = hashlib.sha256((host.folder / "weights").read_bytes()).hexdigest()
    told = host.run("sha256sum </srv/weights; stat --format %a /srv/weights").split()
    assert (told[0], told[-1]) == (expected, "640")
