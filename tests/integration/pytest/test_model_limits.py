# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What models can, and how much they read, as the roles tell LiteLLM: real weights answer.

Every request here is one that a CLI sends, or that LiteLLM makes of one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request

import pytest
import support
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify_models
from conftest import image
from test_model_sources import WEIGHTS, Site

pytestmark = pytest.mark.integration

PLAIN, WIDE, THINKER = "plain:1", "wide:1", "thinker:1"
WIDE_CONTEXT = 32768
# A template from whose words Ollama takes that the model thinks; the weights do not.
THINKING_TEMPLATE = """{{ range .Messages }}<|im_start|>{{ .Role }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
MODELFILE = f'{{% raw %}}FROM {PLAIN}\nTEMPLATE """{THINKING_TEMPLATE}"""{{% endraw %}}'
MODELS = [
    {"name": PLAIN, "file": WEIGHTS},
    {"name": WIDE, "file": WEIGHTS, "context": WIDE_CONTEXT},
    {
        "name": THINKER,
        "sources": [{"type": "modelfile", "content": MODELFILE}],
    },
]
NEEDLE = "The password is ANANAS-7734."
QUESTION = "What is the password?"
SHORT, LONG = 12, 1300  # sentences between them: 150 tokens, and 10,447 for 8,192 of context
THAI = "\N{THAI CHARACTER SARA AI MAIMALAI}" * 5000


def haystack(sentences: int) -> str:
    return f"{NEEDLE} {'The sky over the hills was grey. ' * sentences}{QUESTION}"


def chat(model: str, text: str, **more) -> tuple[str, dict]:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 24}
    return "/v1/chat/completions", {**body, "temperature": 0, **more}


def messages(model: str, text: str, **more) -> tuple[str, dict]:
    return "/v1/messages", chat(model, text, **more)[1]


def responses(model: str, text: str, **more) -> tuple[str, dict]:
    body = {"model": model, "input": text, "max_output_tokens": 24, "temperature": 0}
    return "/v1/responses", {**body, **more}


def gemini(model: str, text: str, **more) -> tuple[str, dict]:
    turns = [{"role": "user", "parts": [{"text": text}]}]
    config = {"maxOutputTokens": 24, "temperature": 0, **more}
    path = f"/v1beta/models/{model.replace(':', '-')}:generateContent"
    return path, {"contents": turns, "generationConfig": config}


SHAPES = {"chat": chat, "messages": messages, "responses": responses, "gemini": gemini}
THOUGHTS = [
    (chat, {"reasoning_effort": "high"}),
    (messages, {"max_tokens": 1100, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
    (messages, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
    (responses, {"reasoning": {"effort": "high", "summary": "auto"}}),
    (gemini, {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 1024}}),
]


@pytest.fixture(scope="module")
def site(docker, tmp_path_factory):
    if os.geteuid():
        pytest.skip("needs root, as the roles do: files belong to the users of containers")
    for service in ("postgres", "ollama", "litellm"):
        image(service)
    folder = tmp_path_factory.mktemp("limits")
    (folder / "secrets").mkdir(mode=0o700)
    made = Site(docker, folder)
    made.deploy({"ollama_models": MODELS})
    yield made
    for name in ("litellm", "ollama", "postgres"):
        subprocess.run(["docker", "rm", "-fv", f"itest-{docker.suffix}-{name}"], check=False)
    shutil.rmtree(folder / "data", ignore_errors=True)


def deployments(site: Site) -> dict[str, dict]:
    """Return what LiteLLM was told of each model."""
    key = (site.folder / "secrets" / "litellm_master_key").read_text().strip()
    request = urllib.request.Request(
        f"http://127.0.0.1:{site.port}/v1/model/info", headers={"Authorization": f"Bearer {key}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return {entry["model_name"]: entry["model_info"] for entry in json.load(answer)["data"]}


def test_litellm_knows_context_and_capabilities(site):
    known = deployments(site)
    assert known[PLAIN]["max_input_tokens"] == 8192
    assert known[WIDE]["max_input_tokens"] == WIDE_CONTEXT
    assert known[PLAIN]["supports_function_calling"] is True
    assert known[PLAIN]["supports_reasoning"] is False
    assert known[THINKER]["supports_reasoning"] is True


@pytest.mark.parametrize(("shape", "thought"), THOUGHTS)
def test_a_model_that_cannot_think_answers_a_request_to_think(site, shape, thought):
    """Ollama refuses it: `"plain:1" does not support thinking`."""
    status, _headers, body = site.ask(*shape(PLAIN, "Say hello.", **thought))
    assert status == 200, body


def test_a_model_that_can_think_is_still_asked_to(site):
    status, _headers, body = site.ask(*chat(THINKER, "Say hello.", reasoning_effort="high"))
    assert status == 200, body
    config = (site.folder / "etc/services/litellm/config/config.yaml").read_text()
    of_thinker = config.partition(f'model_name: "{THINKER}"')[2].partition("model_name")[0]
    assert "reasoning_effort" not in of_thinker and "reasoning_effort" in config


@pytest.mark.parametrize("shape", SHAPES)
def test_a_prompt_that_fits_is_read_from_its_beginning(site, shape):
    status, _headers, body = site.ask(*SHAPES[shape](PLAIN, haystack(SHORT)))
    assert status == 200 and "ANANAS-7734" in body, body


@pytest.mark.parametrize("shape", SHAPES)
def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(site, shape):
    """Ollama would cut off its beginning, and answer 200 without having read the password."""
    status, _headers, body = site.ask(*SHAPES[shape](PLAIN, haystack(LONG)))
    assert status == 400, body
    assert "8192" in body and "104" in body, body  # 10,4xx tokens, as LiteLLM counts
    assert "exceeds the available context size" not in body, "Ollama was asked all the same"


@pytest.mark.parametrize("shape", SHAPES)
def test_ollama_itself_refuses_what_litellm_counts_too_low(site, shape):
    """LiteLLM counts as OpenAI's models do; a Thai letter is one token there, and two here."""
    status, _headers, body = site.ask(*SHAPES[shape](PLAIN, THAI))
    assert status == 400 and "8192" in body, body
    assert "exceeds the available context size" in body, body


def opening_requests(site, run_module, *names) -> dict:
    """Send what each CLI sends first to these models, as verify does."""
    path = support.REPOSITORY / "roles/clients/files/requests.json"
    shapes = json.loads(path.read_text())
    models = [verify_models.model_checks({"name": name}, ["models"], shapes) for name in names]
    url = f"http://127.0.0.1:{site.port}"
    return run_module("llm_health", url=url, api_key=site.developer_key, models=models)


def test_the_opening_request_of_every_cli_is_answered(site, run_module):
    result = opening_requests(site, run_module, PLAIN, THINKER)
    assert not result["failed"], result["msg"]
    assert len([c for c in result["checks"] if c["name"].endswith("_request")]) == 10


def test_context_for_which_there_is_no_memory_is_refused_with_the_numbers(site):
    models = [*MODELS[:1], {**MODELS[1], "context": 1048576}]
    refused = site.play({"ollama_models": models})
    assert refused.returncode
    for part in ("1048576 tokens of context", "23040 bytes a token", "ollama_memory_mb"):
        assert part in refused.stdout, refused.stdout[-3000:]


def test_verify_fails_where_litellm_does_not_know_what_a_model_can(site, run_module):
    """The last of them: LiteLLM is deployed as if Ollama had told nothing of its models."""
    site.deploy({"ollama_models": MODELS[:1], "ollama_facts": {}}, "litellm.yml")
    result = opening_requests(site, run_module, PLAIN)
    # Codex and Gemini CLI ask for summaries of thoughts, which LiteLLM makes no order to think.
    (failed,) = [check for check in result["checks"] if check["status"] == "failed"]
    assert (failed["name"], failed["model"]) == ("claude_request", PLAIN)
    assert "does not support thinking" in failed["found"], failed
    assert "to a request with tools, thinking" in failed["expected"]
    assert "capabilities" in failed["action"]
