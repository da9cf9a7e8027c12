# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`ollama_model` against a real Ollama."""

from __future__ import annotations

import json
import os
import random
import struct
import urllib.request

import pytest
import support
import yaml

pytestmark = pytest.mark.integration

TEMPLATE = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"


def api(url: str, path: str, body: dict | None = None) -> dict:
    """Ask Ollama itself, not through the code under test."""
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(url + path, data=data, timeout=120) as response:
        return json.load(response)


def names(url: str) -> list[str]:
    return [model["name"] for model in api(url, "/api/tags")["models"]]


def tiny_gguf(seed: int, size: int = 4_000_000) -> bytes:
    """A valid GGUF without a use: what matters is how it travels."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    values = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + values
    head += b"\0" * (-len(head) % 32)
    return head + struct.pack("<I", seed) * (size // 4)


@pytest.fixture
def run(run_module, ollama):
    def run(**options):
        return run_module("ollama_model", **{"ollama_url": ollama, **options})

    return run


@pytest.fixture
def from_file(run, weights):
    """Make a model from the real weights."""

    def make(check=False, name="made", **source):
        sources = [{"type": "file", "path": weights, "template": TEMPLATE, **source}]
        return run(check=check, name=name, sources=sources)

    yield make
    run(name="made", state="absent")


def test_model_from_a_file_is_made_once_changed_and_removed(run, from_file, ollama):
    foreseen = from_file(check=True, parameters={"num_ctx": 2048})
    assert foreseen["changed"] and "made:latest" not in names(ollama)

    made = from_file(parameters={"num_ctx": 2048, "stop": ["<|im_end|>"], "temperature": 0.5})
    assert made["changed"] and made["source"] == "file"
    assert made["digest"] == api(ollama, "/api/tags")["models"][0]["digest"]

    again = from_file(parameters={"num_ctx": 2048, "stop": ["<|im_end|>"], "temperature": 0.5})
    assert not again["changed"] and again["digest"] == made["digest"]

    changed = from_file(parameters={"num_ctx": 4096}, system="Be short.")
    assert changed["changed"]
    assert changed["diff"]["before"]["parameters"]["num_ctx"] == 2048
    assert changed["diff"]["after"]["parameters"] == {"num_ctx": 4096}
    assert api(ollama, "/api/show", {"model": "made"})["system"] == "Be short."

    dropped = from_file(parameters={"num_ctx": 4096})
    assert dropped["changed"], "a system prompt that is no longer declared must go"
    assert "system" not in api(ollama, "/api/show", {"model": "made"})

    assert run(name="made", state="absent", check=True)["changed"]
    assert run(name="made", state="absent")["changed"]
    assert not run(name="made", state="absent")["changed"]
    assert "made:latest" not in names(ollama)


def test_change_made_by_hand_is_undone(from_file, ollama):
    first = from_file(parameters={"num_ctx": 2048})
    body = {"model": "made", "from": "made", "system": "meddled", "stream": False}
    api(ollama, "/api/create", body)
    undone = from_file(parameters={"num_ctx": 2048})
    assert undone["changed"] and undone["digest"] == first["digest"]


def test_checksum_spares_reading_and_refuses_other_content(from_file, weights, tmp_path):
    digest = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert from_file(checksum=digest)["changed"]
    gone = from_file(checksum=digest, path=str(tmp_path / os.path.basename(weights)))
    assert not gone["changed"] and not gone["failed"]
    other = tmp_path / "other.gguf"
    other.write_bytes(tiny_gguf(1))
    wrong = from_file(checksum="sha256:" + "0" * 64, path=str(other))
    assert wrong["failed"] and wrong["error"]["reason"] == "mismatch"


def test_same_weights_serve_embeddings(run, weights, ollama):
    sources = [{"type": "file", "path": weights, "pooling_type": "mean"}]
    made = run(name="embedder", sources=sources)
    assert made["changed"] and made["capabilities"] == ["embedding"]
    assert not run(name="embedder", sources=sources)["changed"]
    body = {"model": "embedder", "input": "hello", "options": {"num_thread": 1}}
    (vector,) = api(ollama, "/api/embed", body)["embeddings"]
    assert len(vector) == 576
    kept = run(name="embedder", sources=sources, keep_loaded=True)
    assert kept["loaded"] and not kept["changed"]
    run(name="embedder", state="absent")


def test_kept_model_stays_in_memory_and_answers(run, weights, ollama):
    sources = [{"type": "file", "path": weights, "parameters": {"num_thread": 1, "num_ctx": 512}}]
    made = run(name="kept", sources=sources, keep_loaded=True)
    assert made["loaded"]
    (running,) = [m for m in api(ollama, "/api/ps")["models"] if m["name"] == "kept:latest"]
    assert int(running["expires_at"][:4]) > 2200
    again = run(name="kept", sources=sources, keep_loaded=True)
    assert again["loaded"] and not again["changed"]
    body = {"model": "kept", "prompt": "Say hi", "stream": False, "options": {"num_predict": 8}}
    assert api(ollama, "/api/generate", body)["response"]
    run(name="kept", state="absent")


def test_modelfile_on_top_of_a_model(run, from_file, ollama):
    content = 'FROM made\nPARAMETER num_ctx 1024\nSYSTEM """Be\nkind."""\n'
    sources = [{"type": "modelfile", "content": content}]
    missing = run(name="kind", sources=sources)
    assert missing["failed"] and missing["error"]["reason"] == "unknown"

    from_file(parameters={"temperature": 0.5})
    assert run(name="kind", sources=sources)["changed"]
    shown = api(ollama, "/api/show", {"model": "kind"})
    assert shown["system"] == "Be\nkind." and "temperature" in shown["parameters"]
    assert not run(name="kind", sources=sources)["changed"]
    changed = [{"type": "modelfile", "content": content.replace("1024", "2048")}]
    assert run(name="kind", sources=changed)["changed"]

    from_file(parameters={"temperature": 0.7})
    assert run(name="kind", sources=changed)["changed"], "the base changed below it"
    run(name="kind", state="absent")


def test_modelfile_with_a_file(run, weights, ollama):
    sources = [{"type": "modelfile", "content": f"FROM {weights}\nPARAMETER num_ctx 512\n"}]
    assert run(name="filed", sources=sources)["changed"]
    assert not run(name="filed", sources=sources)["changed"]
    run(name="filed", state="absent")


def test_wrong_template_is_told_in_ollamas_words(from_file):
    result = from_file(template="{{ .Broken")
    assert result["failed"] and result["error"]["reason"] == "refused"
    assert "template" in result["msg"]


def pulled_from(registry, **more):
    return [{"type": "registry", "registry": registry.host, "insecure": True, **more}]


def test_pull_from_a_mirror(run, registry, ollama, tmp_path):
    digest = registry.add("tiny:1", tiny_gguf(2))
    progress = tmp_path / "progress"
    pulled = run(
        name="tiny:1", sources=pulled_from(registry), digest=digest, progress_file=str(progress)
    )
    assert pulled["changed"] and pulled["digest"] == digest
    assert [name for name in names(ollama) if "tiny" in name] == ["tiny:1"]
    assert progress.read_text().splitlines()[-1] == "pull: success"

    asked = len(registry.requested)
    assert not run(name="tiny:1", sources=pulled_from(registry))["changed"]
    assert len(registry.requested) == asked, "a model that is there needs no registry"

    same = run(name="tiny:1", sources=pulled_from(registry), update=True)
    assert not same["changed"] and len(registry.requested) > asked

    newer = registry.add("tiny:1", tiny_gguf(3))
    updated = run(name="tiny:1", sources=pulled_from(registry), update=True)
    assert updated["changed"] and updated["digest"] == newer
    run(name="tiny:1", state="absent")


def test_wrong_digest_leaves_the_old_model(run, registry, ollama):
    old = registry.add("pinned:1", tiny_gguf(4))
    run(name="pinned:1", sources=pulled_from(registry))
    registry.add("pinned:1", tiny_gguf(5))
    result = run(name="pinned:1", sources=pulled_from(registry), digest="f" * 64)
    assert result["failed"] and result["error"]["reason"] == "mismatch"
    assert not run(name="pinned:1", digest=old)["changed"]
    assert [name for name in names(ollama) if "pinned" in name] == ["pinned:1"]
    run(name="pinned:1", state="absent")


def test_stalled_pull_is_resumed(run, registry, ollama, tmp_path):
    registry.add("slow:1", tiny_gguf(6))
    registry.trouble = ["stall"]
    progress = tmp_path / "progress"
    result = run(
        name="slow:1",
        sources=pulled_from(registry),
        stall_seconds=3,
        progress_file=str(progress),
    )
    assert result["changed"], result
    assert "resuming (1/3)" in progress.read_text()
    assert max(start for start, _end in registry.ranges) > 1_000_000, "fetched from the start again"
    run(name="slow:1", state="absent")


def test_pull_that_breaks_off_goes_on(run, registry):
    registry.add("cut:1", tiny_gguf(9))
    registry.trouble = ["cut"]
    assert run(name="cut:1", sources=pulled_from(registry), stall_seconds=10)["changed"]
    run(name="cut:1", state="absent")


def test_pull_that_stalls_for_good_ends(run, registry, ollama):
    registry.add("dead:1", tiny_gguf(7))
    registry.trouble = ["stall"] * 20
    result = run(name="dead:1", sources=pulled_from(registry), stall_seconds=2, retries=1)
    assert result["failed"] and result["error"]["reason"] == "stalled"
    assert "dead:1" not in names(ollama)


def test_unknown_model_and_unreachable_registry_are_told_apart(run, registry):
    unknown = run(name="nobody:1", sources=pulled_from(registry), timeout=10)
    assert unknown["error"]["reason"] == "unknown" and "nobody" in unknown["msg"]
    away = run(
        name="nobody:1",
        sources=[{"type": "registry", "registry": "127.0.0.1:9", "insecure": True}],
    )
    assert away["error"]["reason"] == "unreachable"


def test_file_is_used_when_the_registry_is_away(run, weights):
    sources = [
        {"type": "registry", "registry": "127.0.0.1:9", "insecure": True},
        {"type": "file", "path": weights},
    ]
    made = run(name="either", sources=sources)
    assert made["changed"] and made["source"] == "file"
    assert [failure["reason"] for failure in made["failed_sources"]] == ["unreachable"]
    assert not run(name="either", sources=sources)["changed"]
    run(name="either", state="absent")


def test_full_disk_is_told(run_module, start_ollama, registry, weights):
    url = start_ollama("small", "--tmpfs=/models:size=40m,mode=1777", "--env=OLLAMA_MODELS=/models")
    sent = run_module(
        "ollama_model",
        ollama_url=url,
        name="big",
        sources=[{"type": "file", "path": weights}],
    )
    assert sent["failed"] and sent["error"]["reason"] == "no_space", sent["msg"]
    registry.add("big:1", tiny_gguf(8, size=60_000_000))
    pulled = run_module("ollama_model", ollama_url=url, name="big:1", sources=pulled_from(registry))
    assert pulled["failed"] and pulled["error"]["reason"] == "no_space", pulled["msg"]


def test_store_without_room_is_noticed_beforehand(run, weights, monkeypatch, tmp_path):
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    result = run(
        name="beforehand",
        sources=[{"type": "file", "path": weights, "pooling_type": "last"}],
        models_path=str(tmp_path),
    )
    assert result["failed"] and result["error"]["reason"] == "no_space"


def test_conversations_that_wait_their_turn_do_not_outgrow_the_container(
    run_module, start_ollama, weights
):
    """llama-server would keep 8 GiB of them, and be killed at the container's limit."""
    role = yaml.safe_load((support.REPOSITORY / "roles/ollama/defaults/main.yml").read_text())
    given = role["ollama_service"]["env"].items()
    (name,) = [name for name, value in given if "ollama_prompt_cache_mb" in str(value)]
    url = start_ollama("narrow", "--memory=280m", "--memory-swap=280m", f"--env={name}=32")
    sources = [{"type": "file", "path": weights, "template": TEMPLATE}]
    assert not run_module("ollama_model", ollama_url=url, name="made", sources=sources)["failed"]
    for person in range(8):
        words = " ".join(random.Random(person).choices(("apple", "river", "stone", "cloud"), k=600))
        message = {"role": "user", "content": words}
        options = {"num_ctx": 2048, "num_predict": 1}
        body = {"model": "made", "messages": [message], "options": options, "stream": False}
        assert api(url, "/api/chat", body)["done"]
