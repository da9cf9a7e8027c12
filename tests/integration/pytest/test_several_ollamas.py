# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Several Ollamas behind two LiteLLMs as the role configures them: who answers, and how.

Each LiteLLM runs beside one of the Ollamas, so that they know the same servers by different
addresses. What an Ollama answers is its name, in a sentence: ids of an answer are base64, in which
a bare name is found by chance.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import MASTER_KEY, http_status, image, wait_until
from servers import configured_litellm
from servers.configured_litellm import PORT

pytestmark = pytest.mark.integration

HOSTS = ("gpu1", "gpu2", "gpu3")
REPLICAS = ["gpu1", "gpu2"]
MODEL = "coder:1"
SAID = "This is {}."
SERVER = Path(__file__).parent / "servers" / "scripted_ollama.py"


class Site:
    """Three Ollamas and two LiteLLMs."""

    def __init__(self, docker, folder: Path) -> None:
        self.docker = docker
        names = {host: f"affinity-{host}" for host in HOSTS}
        configured_litellm.render(folder, names, REPLICAS, ollama_models=[{"name": MODEL}])
        self.ollamas = {host: self._ollama(host, names[host]) for host in HOSTS}
        replicas = [
            configured_litellm.start(
                docker, image("litellm"), f"litellm-{host}", folder / host, MASTER_KEY
            )
            for host in REPLICAS
        ]
        self.urls = [f"http://{docker.address(replica, 4000)}" for replica in replicas]
        for url in self.urls:
            alive = f"{url}/health/liveliness"
            wait_until(lambda alive=alive: http_status(alive) == 200, 180, alive)

    def _ollama(self, host: str, name: str) -> str:
        options = (f"--volume={SERVER}:/srv/ollama.py:ro", f"--network-alias={host}-ollama")
        return self.docker.start(
            name,
            image("gateway"),
            *options,
            "--entrypoint=python3",
            command=("/srv/ollama.py", str(PORT)),
            env={"NAME": SAID.format(host)},
        )

    def ask(self, path: str, body: dict, replica: int = 0, **headers: str) -> str:
        """Return the name of the Ollama that answered."""
        answer = self.answer(path, body, replica, **headers)
        (name,) = [host for host in HOSTS if SAID.format(host) in answer]
        return name

    def answer(self, path: str, body: dict, replica: int = 0, **headers: str) -> str:
        """Return an answer as it came."""
        given = {"Authorization": f"Bearer {MASTER_KEY}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            self.urls[replica] + path,
            data=json.dumps(body).encode(),
            headers={**given, **{name.replace("_", "-"): value for name, value in headers.items()}},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            pytest.fail(f"{path}: {error.code} {error.read().decode()[:2000]}")

    @contextlib.contextmanager
    def full(self, host: str):
        """Let an Ollama refuse what comes."""
        self._switch(host, "full")
        try:
            yield
        finally:
            self._switch(host, "free")

    def _switch(self, host: str, to: str) -> None:
        code = (
            f"import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/{to}', data=b'{{}}')"
        )
        self.docker.run("exec", self.ollamas[host], "python3", "-c", code)

    @contextlib.contextmanager
    def away(self, host: str):
        """Let an Ollama be away."""
        self.docker.run("stop", "--time=1", self.ollamas[host])
        try:
            yield
        finally:
            self.docker.run("start", self.ollamas[host])


@pytest.fixture(scope="module")
def site(docker, tmp_path_factory):
    return Site(docker, tmp_path_factory.mktemp("affinity"))


def turns(count: int, opening: str = "Hello") -> list[dict]:
    """Return the messages of a conversation at its n-th turn."""
    said = [{"role": "user", "content": opening}]
    for number in range(1, count):
        said += [{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": f"{number}"}]
    return said


def claude(count: int, opening: str) -> tuple[str, dict]:
    body = {"system": "Be brief.", "messages": turns(count, opening), "max_tokens": 64}
    return "/v1/messages", {**body, "model": MODEL, "stream": True}


def codex(count: int, opening: str) -> tuple[str, dict]:
    body = {"instructions": "Be brief.", "input": turns(count, opening)}
    return "/v1/responses", {**body, "model": MODEL, "stream": True}


def chat(count: int, opening: str) -> tuple[str, dict]:
    return "/v1/chat/completions", {"model": MODEL, "messages": turns(count, opening)}


def gemini(count: int, opening: str) -> tuple[str, dict]:
    contents = [
        {"role": t["role"].replace("assistant", "model"), "parts": [{"text": t["content"]}]}
        for t in turns(count, opening)
    ]
    body = {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": contents}
    return f"/v1beta/models/{MODEL.replace(':', '-')}:streamGenerateContent?alt=sse", body


SHAPES = {"claude": claude, "codex": codex, "chat": chat, "gemini": gemini}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_turn_of_a_conversation_goes_to_one_ollama_whichever_litellm_is_asked(site, shape):
    opening = secrets.token_hex(8)
    asked = [SHAPES[shape](count, opening) for count in range(1, 7)]
    found = [site.ask(*one, replica=number % 2) for number, one in enumerate(asked)]
    assert len(set(found)) == 1, found


@pytest.mark.parametrize("shape", SHAPES)
def test_conversations_spread(site, shape):
    found = {site.ask(*SHAPES[shape](1, secrets.token_hex(8))) for _number in range(20)}
    assert len(found) > 1


HEADERS = [
    ("claude", lambda session: {"x_claude_code_session_id": session}),
    ("codex", lambda session: {"session_id": session, "User_Agent": "codex_exec/0.171.0"}),
    ("chat", lambda session: {"x_session_id": session}),
]


@pytest.mark.parametrize(("shape", "headers"), HEADERS, ids=[name for name, _headers in HEADERS])
def test_a_session_keeps_its_ollama_after_its_opening_was_compacted(site, shape, headers):
    session = secrets.token_hex(16)
    asked = [SHAPES[shape](1, secrets.token_hex(8)) for _number in range(6)]
    found = [site.ask(*one, replica=n % 2, **headers(session)) for n, one in enumerate(asked)]
    assert len(set(found)) == 1, found


def test_a_prompt_cache_key_keeps_its_ollama(site):
    session = {"prompt_cache_key": secrets.token_hex(16)}
    found = set()
    for _number in range(6):
        path, body = codex(1, secrets.token_hex(8))
        found.add(site.ask(path, {**body, **session}))
    assert len(found) == 1


@pytest.mark.parametrize("trouble", ["away", "full"])
def test_an_ollama_that_cannot_answer_is_left_for_one_other_and_taken_back(site, trouble):
    opening = secrets.token_hex(8)
    first = site.ask(*claude(1, opening))
    with getattr(site, trouble)(first):
        found = [site.ask(*claude(count, opening), replica=count % 2) for count in range(2, 8)]
        assert len(set(found)) == 1 and first not in found, found
    # It is set aside for some seconds.
    wait_until(
        lambda: site.ask(*claude(8, opening)) == first, 60, f"{first} after it was {trouble}"
    )


def test_parallel_tool_calls_of_a_stream_are_numbered(site):
    """Clients put the pieces of a call together by its number."""
    path, body = chat(1, "Hello")
    tools = [{"type": "function", "function": {"name": name}} for name in ("read", "write")]
    answer = site.answer(path, {**body, "tools": tools, "stream": True})
    events = [json.loads(line[6:]) for line in answer.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or []]
    found = {call["index"]: call["function"]["name"] for call in calls}
    assert found == {0: "read", 1: "write"}, answer
