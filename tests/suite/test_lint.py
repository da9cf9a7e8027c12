# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything in the repository is lint-free."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def is_shell_script(path):
    with (ROOT / path).open("rb") as file:
        first = file.readline()
    return first.startswith(b"#!") and first.split(b"/")[-1].split()[-1] in (b"sh", b"bash")


def test_ruff_finds_nothing(run):
    run("ruff", "check", ".")


def test_ruff_would_format_nothing(run):
    run("ruff", "format", "--check", ".")


def test_yamllint_finds_nothing(run):
    run("yamllint", "--strict", ".")


def test_shellcheck_finds_nothing(run, repository_files):
    run("shellcheck", *filter(is_shell_script, repository_files))


def test_ansible_lint_finds_nothing_in_its_strictest_profile(run):
    run("ansible-lint", "--offline", "--strict", "--nocolor", timeout=600)
