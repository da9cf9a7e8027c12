# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decisions of the module. What Ollama itself does is tested in tests/integration."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import memory

OLD, NEW = "1" * 64, "2" * 64


class FakeOllama:
    """As much of Ollama as a decision needs: names, digests, pulls."""

    def __init__(self, service):
        self.service = service
        self.digests: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.pulled_digest = NEW
        self.running: list[dict] = []
        service.replies.update(
            {
                ("GET", "/api/tags"): lambda _e: (200, {"models": self.entries()}),
                ("GET", "/api/ps"): lambda _e: (200, {"models": self.running}),
                ("POST", "/api/show"): self.show,
                ("POST", "/api/pull"): self.pull,
                ("POST", "/api/copy"): self.copy,
                ("DELETE", "/api/delete"): self.delete,
            }
        )

    def entries(self):
        return [
            {"name": name, "digest": digest, "size": 7, "capabilities": ["completion"]}
            for name, digest in self.digests.items()
        ]

    def show(self, exchange):
        return 200, {"details": {"parent_model": self.labels.get(exchange.json()["model"], "")}}

    def pull(self, exchange):
        self.digests[exchange.json()["model"]] = self.pulled_digest
        return 200, [json.dumps({"status": "success"}).encode() + b"\n"]

    def copy(self, exchange):
        body = exchange.json()
        self.digests[body["destination"]] = self.digests[body["source"]]
        return 200, b""

    def delete(self, exchange):
        del self.digests[exchange.json()["model"]]
        return 200, b""

    def pulls(self):
        return [e.json()["model"] for e in self.service.seen("POST", "/api/pull")]


@pytest.fixture
def ollama(service):
    return FakeOllama(service)


@pytest.fixture
def run(run_module, service):
    def run(**options):
        return run_module("ollama_model", **{"ollama_url": service.url, "name": "m:1", **options})

    return run


def test_missing_model_is_pulled_and_found_again(run, ollama):
    result = run()
    assert result["changed"] and result["digest"] == NEW and result["source"] == "registry"
    assert result["diff"]["after"]["digest"] == NEW
    second = run()
    assert not second["changed"] and second["source"] == ""
    assert ollama.pulls() == ["m:1"]


def test_check_mode_asks_nothing_of_the_registry(run, ollama):
    result = run(check=True)
    assert result["changed"] and result["digest"] == ""
    assert ollama.pulls() == []


def test_update_that_brings_the_same_digest_is_no_change(run, ollama):
    ollama.digests["m:1"] = NEW
    result = run(update=True)
    assert not result["changed"] and result["source"] == "registry"
    assert ollama.pulls() == ["m:1"]
    assert not run(update=True, check=True)["changed"]


def test_mirror_is_pulled_from_and_leaves_no_second_name(run, ollama):
    source = {"type": "registry", "registry": "mirror:5000", "insecure": True}
    result = run(sources=[source])
    assert result["changed"]
    assert ollama.pulls() == ["mirror:5000/library/m:1"]
    assert ollama.digests == {"m:1": NEW}


def test_pinned_model_that_is_there_is_not_pulled(run, ollama):
    ollama.digests["m:1"] = OLD
    assert not run(digest=f"sha256:{OLD}")["changed"]
    assert ollama.pulls() == []


def test_wrong_digest_fails_and_the_old_model_is_back(run, ollama):
    ollama.digests["m:1"] = OLD
    result = run(digest="3" * 64)
    assert result["failed"] and result["error"]["reason"] == "mismatch"
    assert ollama.digests == {"m:1": OLD}


def test_wrong_digest_of_a_new_model_leaves_nothing(run, ollama):
    assert run(digest="3" * 64)["failed"]
    assert ollama.digests == {}


def test_first_source_that_works_wins(run, ollama):
    sources = [{"type": "file", "path": "/nonexistent.gguf"}, {"type": "registry"}]
    result = run(sources=sources)
    assert result["changed"] and result["source"] == "registry"
    assert [f["reason"] for f in result["failed_sources"]] == ["unknown"]


def test_no_source_that_works_names_every_reason(run, ollama):
    sources = [
        {"type": "file", "path": "/nonexistent.gguf"},
        {"type": "modelfile", "content": "FROM missing"},
    ]
    result = run(sources=sources)
    assert result["failed"]
    assert "/nonexistent.gguf" in result["msg"] and "no model missing" in result["msg"]
    assert ollama.pulls() == []


def test_model_made_from_a_file_does_not_satisfy_a_changed_file_source(run, ollama, tmp_path):
    ollama.digests["m:1"] = OLD
    ollama.labels["m:1"] = "intranet.mcp/0123456789abcdef/m.gguf"
    result = run(sources=[{"type": "registry"}], check=True)
    assert result["changed"]


def test_absent_removes_once(run, ollama):
    ollama.digests["m:1"] = OLD
    assert run(state="absent", check=True)["changed"] and ollama.digests
    assert run(state="absent")["changed"]
    assert ollama.digests == {}
    assert not run(state="absent")["changed"]


def test_loaded_model_is_left_alone_and_loading_is_no_change(run, ollama, service):
    ollama.digests["m:1"] = OLD

    def load(_exchange):
        ollama.running = [{"name": "m:1", "digest": OLD, "expires_at": "2319-01-01T00:00:00Z"}]
        return 200, {"done": True}

    service.replies["POST", "/api/generate"] = load
    first = run(keep_loaded=True)
    assert first["loaded"] and not first["changed"]
    assert run(keep_loaded=True)["loaded"]
    assert len(service.seen("POST", "/api/generate")) == 1


def test_model_that_does_not_stay_loaded_is_an_error(run, ollama, service):
    ollama.digests["m:1"] = OLD
    service.replies["POST", "/api/generate"] = 200, {"done": True}
    result = run(keep_loaded=True)
    assert result["failed"] and result["error"]["reason"] == "not_ready"


def test_the_memory_of_this_host_is_not_that_of_an_ollama_elsewhere(
    run, ollama, service, monkeypatch
):
    monkeypatch.setattr(memory, "of_host", lambda: 1)
    ollama.digests["m:1"] = OLD
    shown = {"capabilities": ["completion"]}
    service.replies["POST", "/api/show"] = (200, shown)
    limits = {"memory_mb": 4096, "prompt_cache_mb": 2048}
    assert "the memory of this host" in run(**limits)["error"]["expected"]
    assert not run(**limits, on_this_host=False)["changed"]


def test_unreachable_ollama_says_what_to_do(run_module, closed_port):
    result = run_module("ollama_model", name="m", ollama_url=closed_port)
    assert result["failed"] and result["error"]["reason"] == "unreachable"
    assert "start Ollama" in result["msg"] and closed_port in result["msg"]


def test_empty_name_is_refused(run, ollama):
    result = run(name=" ")
    assert result["failed"] and result["error"]["reason"] == "refused"


def test_progress_lines_reach_the_file(run, ollama, tmp_path):
    run(progress_file=str(tmp_path / "progress"))
    assert (tmp_path / "progress").read_text() == f"{os.getpid()}\npull: success\n"
