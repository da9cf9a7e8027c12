# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Said
from ansible_collections.intranet.mcp.plugins.module_utils.examine import migrations

FAILED = '{"failed": true, "msg": "no login"}\n'


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('{"changed": false, "pending": [], "half_done": ["x"]}\n', ("", ["x"])),
        (f"{FAILED}litellm-migrate: no login\n", ("no login", [])),
        (f"apply y\n{FAILED}", ("no login", [])),
        ('{"pending": [], "half_done": ["x"]}\n{"level": "info"}\n', ("", ["x"])),
    ],
)
def test_answers_of_the_tool_are_found_among_its_lines(said, expected):
    found = migrations.parse(said)
    assert (found.error, found.half_done) == expected


class Engine:
    """An engine whose program in the container says this."""

    def __init__(self, status, text):
        self.said = Said(status, "", "", text)

    def run(self, _container, _command):
        return self.said


@pytest.mark.parametrize(
    ("code", "text", "status", "words"),
    [
        (0, '{"pending": [], "half_done": []}', "passed", "0 pending, 0 half done"),
        (2, 'noise\n{"pending": ["a"], "half_done": []}', "failed", "1 pending"),
        (1, '{"pending": [], "half_done": ["b"]}', "failed", "1 half done"),
        (1, FAILED, "failed", "no login"),
        (1, "database postgres:5432 did not answer", "failed", "did not answer"),
        (9, "", "failed", "exit status 9"),
        (1, '{"level": "info", "msg": "starting"}', "failed", "starting"),
        (127, "sh: litellm-migrate: not found", "unknown", "no litellm-migrate"),  # upstream's
    ],
)
def test_migrations_are_complete_only_when_the_tool_says_so(code, text, status, words):
    found = migrations.read(Engine(code, text), "intranet-litellm", ["litellm-migrate"])
    judged = migrations.judge("migrations", found)
    assert (judged.status, words in judged.found) == (status, True)


def test_the_tool_gets_the_address_of_the_database_and_how_long_to_wait(tmp_path):
    tool = tmp_path / "litellm-migrate"
    tool.write_text('#!/bin/sh\necho "$DATABASE_URL" "$@"\n')
    tool.chmod(0o755)
    (tmp_path / "url").write_text("postgresql://db/x")
    shell, option, program, *words = migrations.command(5)
    program = program.replace("/secrets/env/DATABASE_URL", str(tmp_path / "url"))
    run = subprocess.run(
        [shell, option, program, *words],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["postgresql://db/x", "--check", "--wait", "5"]
