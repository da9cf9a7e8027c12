"""Another program, started with secrets from files, where no shell could do it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

SHOW = ["/usr/bin/env"]


def launch(tmp_path, argv, env, secrets, **inherited):
    config = {"argv": argv, "env": env, "secrets": secrets, "hidden": ["PYTHONHOME", "LD_PRELOAD"]}
    (tmp_path / "launch.json").write_text(json.dumps(config))
    return subprocess.run(
        [sys.executable, "-m", "mcp_gateway.launch", tmp_path / "launch.json"],
        env={**os.environ, **inherited},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_program_has_its_secrets_and_values_and_what_is_hidden_is_not_its_own(tmp_path):
    (tmp_path / "token").write_text("s3cret value\n")
    secrets = {"TOKEN": str(tmp_path / "token")}
    done = launch(tmp_path, SHOW, {"LANG": "x"}, secrets, LD_PRELOAD="", GIVEN="yes")
    shown = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert (shown["TOKEN"], shown["LANG"], shown["GIVEN"]) == ("s3cret value", "x", "yes")
    assert "LD_PRELOAD" not in shown


def test_the_program_takes_the_place_of_the_launcher(tmp_path):
    done = launch(tmp_path, ["/bin/sh", "-c", "exit 7"], {}, {})
    assert done.returncode == 7


def test_the_program_ignores_no_signal_because_of_python(tmp_path):
    """Python ignores SIGPIPE and SIGXFSZ; a program that inherits that goes on writing for ever."""
    done = launch(tmp_path, ["/bin/grep", "SigIgn", "/proc/self/status"], {}, {})
    ignored = int(done.stdout.split()[1], 16)
    # What ignores other signals is older than this test: its own parents may do so.
    assert [s for s in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (s - 1) & 1] == []


def test_a_program_is_found_by_the_path_of_its_image(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "server").symlink_to("/usr/bin/env")
    done = launch(tmp_path, ["server"], {"PATH": str(tmp_path / "bin")}, {})
    assert f"PATH={tmp_path}/bin" in done.stdout


def test_a_program_that_is_not_there_is_named_with_the_remedy(tmp_path):
    done = launch(tmp_path, ["/no/such"], {}, {})
    assert done.returncode == 1
    assert "cannot start /no/such: No such file or directory; expected" in done.stderr
