# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What Redis holds when it begins to keep a log (`per_user` of a tool server)."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess

import pytest
import support

FILES = support.REPOSITORY / "roles" / "redis" / "files"

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="Redis is not installed on this machine"
)


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def ask(port, *words):
    command = ["redis-cli", "-p", str(port), "-a", "s", "--no-auth-warning", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def keep(port, configuration):
    """Run the script as the role does, from its input."""
    command = ["sh", "-s", str(port), str(configuration)]
    script = (FILES / "keep-data").read_text()
    return subprocess.run(command, input=script, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def redis(folder, port, appendonly):
    """Run a Redis whose data are in the folder; at its end it has stopped as a container does."""
    configuration = folder / "redis.conf"
    lines = (f"port {port}", f"dir {folder}", "requirepass s", "save 300 1")
    configuration.write_text("\n".join([*lines, f"appendonly {appendonly}"]) + "\n")
    command = ["redis-server", configuration]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        ready = (line for line in server.stdout if "Ready to accept connections" in line)
        assert next(ready, None), "it did not start"
        try:
            yield configuration
        finally:
            server.terminate()
            server.communicate(timeout=60)


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_server_that_begins_to_keep_a_log_has_what_it_held(tmp_path, port, is_kept):
    """Redis itself would begin empty, which is why there is a script."""
    with redis(tmp_path, port, "no") as configuration:
        assert ask(port, "set", "session", "sealed", "ex", "900") == "OK"
        if is_kept:
            done = keep(port, configuration)
            assert done.returncode == 0, done.stderr
    with redis(tmp_path, port, "yes") as configuration:
        assert ask(port, "get", "session") == ("sealed" if is_kept else "")
        assert keep(port, configuration).returncode == 0  # nothing is left to do


def test_a_server_that_is_away_is_said_to_be(tmp_path, port):
    (tmp_path / "redis.conf").write_text("requirepass s\n")
    assert keep(port, tmp_path / "redis.conf").returncode != 0
