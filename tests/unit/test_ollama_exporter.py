# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Ollama's exporter: what it makes of Ollama's answers, and whom it asks."""

from __future__ import annotations

import http.client
import importlib.util
import threading
import time
import urllib.parse

import pytest
import support

PATH = support.REPOSITORY / "roles/image/files/ollama-exporter/ollama_exporter.py"
SPEC = importlib.util.spec_from_file_location("ollama_exporter", PATH)
exporter = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(exporter)

TAGS = {"models": [{"name": "qwen3:8b", "size": 5_000}, {"name": "old:latest", "size": 7}]}
LOADED = {
    "models": [
        {
            "name": "qwen3:8b",
            "size": 6_000,
            "size_vram": 4_000,
            "expires_at": "2026-11-29T07:15:30.5+00:00",
        }
    ]
}
EXPECTED = {"models": ["qwen3:8b", "old", "lost:1b"], "kept": ["qwen3:8b", "old"]}


def values(tags=TAGS, loaded=LOADED, gpu=False):
    found = exporter.samples(tags, loaded, EXPECTED, gpu)
    return {(name, labels.get("model", "")): float(value) for name, labels, value in found}


def test_models_their_memory_and_what_the_inventory_declares_become_numbers():
    assert values() == {
        ("ollama_up", ""): 1,
        ("ollama_model_size_bytes", "qwen3:8b"): 5_000,
        ("ollama_model_size_bytes", "old:latest"): 7,
        ("ollama_model_present", "qwen3:8b"): 1,
        ("ollama_model_present", "old"): 1,
        ("ollama_model_present", "lost:1b"): 0,
        ("ollama_kept_model_loaded", "qwen3:8b"): 1,
        ("ollama_kept_model_loaded", "old"): 0,
        ("ollama_loaded_model_bytes", "qwen3:8b"): 6_000,
        ("ollama_loaded_model_vram_bytes", "qwen3:8b"): 4_000,
        ("ollama_loaded_model_expires_timestamp_seconds", "qwen3:8b"): 1_795_936_530.5,
    }


@pytest.mark.parametrize(("vram", "off"), [(4_000, 0), (0, 1), (None, 1)])
def test_a_model_in_the_cpus_memory_is_off_the_gpu_where_there_is_one(vram, off):
    (model,) = LOADED["models"]
    changed = {"models": [{**model, "size_vram": vram} if vram is not None else model]}
    if vram is None:
        changed = {"models": [{k: v for k, v in model.items() if k != "size_vram"}]}
    assert values(loaded=changed, gpu=True)["ollama_loaded_model_off_gpu", "qwen3:8b"] == off


@pytest.mark.parametrize("moment", ["", "soon", "0001-01-01T00:00:00Z"])
def test_a_model_without_an_end_has_none(moment):
    (model,) = LOADED["models"]
    found = values(loaded={"models": [{**model, "expires_at": moment}]})
    assert "ollama_loaded_model_expires_timestamp_seconds" not in {name for name, _ in found}


def test_an_ollama_without_models_answers_null():
    assert values(tags={"models": None}, loaded={"models": None})["ollama_up", ""] == 1


def test_names_in_labels_are_escaped():
    text = exporter.rendered([("ollama_model_present", {"model": 'a"b\\c\n'}, 1)])
    assert 'ollama_model_present{model="a\\"b\\\\c\\n"} 1\n' in text


def test_every_number_has_a_help_text():
    assert {name for name, *_ in exporter.samples(TAGS, LOADED, EXPECTED, True)} == {*exporter.HELP}


@pytest.fixture
def ask(service):
    config = {**EXPECTED, "targets": [service.url], "gpu": []}
    made = exporter.server(0, config)
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()

    def get(path, **query):
        connection = http.client.HTTPConnection("127.0.0.1", made.server_port, timeout=10)
        connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    yield get
    made.shutdown()
    made.server_close()


def test_a_probe_asks_the_ollama_it_names(service, ask):
    service.replies["GET", "/api/tags"] = (200, TAGS)
    service.replies["GET", "/api/ps"] = (200, LOADED)
    status, text = ask("/probe", target=service.url)
    assert status == 200
    assert 'ollama_loaded_model_vram_bytes{model="qwen3:8b"} 4000\n' in text
    assert text.startswith("# HELP ollama_up")


@pytest.mark.parametrize("reply", [(500, {}), (200, b"not json"), (200, {"models": [{}]})])
def test_an_ollama_that_does_not_answer_is_not_up(service, ask, reply):
    service.replies["GET", "/api/tags"] = reply
    service.replies["GET", "/api/ps"] = (200, LOADED)
    assert ask("/probe", target=service.url) == (200, exporter.rendered([("ollama_up", {}, 0)]))


def test_an_ollama_whose_name_is_looked_up_for_long_is_not_up_in_time(monkeypatch, capsys):
    found = threading.Event()
    monkeypatch.setattr(exporter, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(exporter, "asked", lambda _target, _path: found.wait(30))
    started = time.monotonic()
    numbers = exporter.probed("http://away:11434", {"gpu": [], "models": [], "kept": []})
    took = time.monotonic() - started
    found.set()
    assert "ollama_up 0" in numbers
    assert took < 20
    assert capsys.readouterr().err == "http://away:11434: no answer within 0.2 s\n"


def test_nobody_else_is_asked(service, ask):
    assert ask("/probe", target=f"{service.url}/")[0] == 403
    assert ask("/probe")[0] == 403
    assert not service.exchanges


def test_it_says_that_it_is_alive_and_knows_no_other_page(ask):
    assert ask("/")[0] == 200
    assert ask("/metrics")[0] == 404
