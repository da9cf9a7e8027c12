# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest

KEY = "sk-right"


def probe(name, kind, **options):
    return {"name": name, "kind": kind, "options": options}


@pytest.fixture
def run(run_module, service):
    service.replies["GET", "/health"] = (200, b"ok")
    service.replies["GET", "/v1/models"] = lambda exchange: (
        (200, {"data": []})
        if exchange.headers.get("authorization") == f"Bearer {KEY}"
        else (401, {})
    )

    def run(*probes, **options):
        return run_module("health", probes=list(probes), **options)

    return run


def test_probes_of_different_kinds_give_rows_in_order(run, service, tmp_path):
    result = run(
        probe("gateway", "http", url=service.url + "/health"),
        probe("disk", "disk", paths=[str(tmp_path)], free_mb=1),
        probe("llm", "llm", url=service.url, api_key="mine"),
        probe("tls", "not_applicable", because="no https address"),
        keys={"mine": KEY},
    )
    assert not result["failed"] and not result["changed"], result
    names = [check["name"] for check in result["checks"]]
    assert names == [
        "gateway",
        f"disk {tmp_path}",
        "llm denies no key",
        "llm denies wrong key",
        "tls",
    ]
    assert [check["status"] for check in result["checks"]] == ["passed"] * 4 + ["not_applicable"]


def test_a_failed_check_fails_the_module_after_everything_was_measured(run, service, closed_port):
    probes = [
        probe("away", "http", url=closed_port),
        probe("gateway", "http", url=service.url + "/health"),
    ]
    result = run(*probes)
    assert result["failed"] and "away" in result["msg"]
    assert [check["status"] for check in result["checks"]] == ["failed", "passed"]
    assert not run(*probes, required=False)["failed"]


def test_what_could_not_run_is_unknown_and_fails_too(run, tmp_path):
    (tmp_path / "socket").write_text("")
    nothing_defined = probe(
        "here", "containers", prefix="x-", defined=[], socket=str(tmp_path / "socket")
    )
    result = run(nothing_defined)
    assert result["failed"] and result["checks"][0]["status"] == "unknown"


def test_an_engine_that_is_away_is_a_failure_with_its_remedy(run, tmp_path):
    defined = [{"name": "a", "hash": "1", "image": "i"}]
    probes = [
        probe("here", "containers", prefix="x-", defined=defined, socket=str(tmp_path / "no")),
        probe("redis", "command", container="c", argv=["true"], socket=str(tmp_path / "no")),
    ]
    checks = run(*probes, required=False)["checks"]
    assert [check["status"] for check in checks] == ["failed", "failed"]
    assert all("engine" in check["found"] and check["action"] for check in checks)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (probe("disk", "disk", paths=["/"]), "free_mb"),
        (probe("disk", "disk", paths=["/"], free_mb=1, colour="red"), "colour"),
        (probe("llm", "llm", url="http://x", api_key="sk-pasted-value"), "not the name of a key"),
        (probe("mcp", "mcp", key_file="/x"), "url, command"),
    ],
)
def test_wrong_options_are_named_before_anything_is_asked(run, service, wrong, words):
    result = run(probe("gateway", "http", url=service.url + "/health"), wrong)
    assert result["failed"] and words in result["msg"]
    assert result["checks"] == [] and not service.exchanges


def test_a_key_in_the_wrong_place_is_not_repeated(run):
    result = run(probe("llm", "llm", url="http://x", api_key="sk-pasted-value"))
    assert "sk-pasted-value" not in result["msg"]


def test_values_of_keys_appear_nowhere(run, service):
    service.replies["GET", "/health"] = lambda _e: (500, f"who uses {KEY}?".encode())
    result = run(
        probe("g", "http", url=service.url + "/health"), keys={"mine": KEY}, required=False
    )
    assert KEY not in json.dumps(result)


def test_a_revoked_key_that_was_never_made_is_unknown(run, service):
    asked = probe(
        "llm", "llm", url=service.url, api_key="mine", denies=["revoked_key"], revoked_key="old"
    )
    checks = run(asked, keys={"mine": KEY, "old": ""}, required=False)["checks"]
    assert [check["status"] for check in checks] == ["unknown"]
