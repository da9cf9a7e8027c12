# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The three examples of inventories/models, deployed by the roles and answered by real weights.

Only addresses and weights are put in: the company's API is llama.cpp's server on this machine, and
what the examples call qwen3:8b is a model of 135 million parameters here.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import chat as llm
from conftest import CACHE, http_status, image, interpreter, wait_until

pytestmark = pytest.mark.integration

EXAMPLES = support.REPOSITORY / "inventories" / "models"
COMPANY_API = Path(__file__).parent / "servers" / "company_api.py"
COMPANY_API_PACKAGE = "xllamacpp==2026.10.11549"
PLACEHOLDER = "https://llm.example.internal/v1"
WEIGHTS = "smollm2-135m"  # in the manifest of artifacts
CONNECTIONS = 3  # of LiteLLM's pool, few enough to be reached
OLLAMA_MODEL, COMPANY_MODEL = "qwen3:8b", "company-large"
MAX_TOKENS = 12  # fewer than the models here need for a whole answer

PLAY = """
- hosts: platform
  gather_facts: false
  tasks:
    - {include_role: {name: intranet.mcp.postgres}}
    - include_role: {name: intranet.mcp.ollama}
      when: inventory_hostname in groups['ollama'] | default([])
    - {include_role: {name: intranet.mcp.litellm}}
    - {include_role: {name: intranet.mcp.teams}}
"""
# What another example changes; the database stays the one it is.
PLAY_MODELS = PLAY.replace("    - {include_role: {name: intranet.mcp.postgres}}\n", "")
PLAY_LITELLM = """
- hosts: here
  gather_facts: false
  roles: [intranet.mcp.litellm]
"""


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


class CompanyAPI:
    """An OpenAI-compatible API that wants a key, and can go away and come back."""

    def __init__(self, python: str, address: str, weights: str, mode: str = "chat") -> None:
        self.command = [python, str(COMPANY_API), address, str(free_port(address)), weights, mode]
        self.key = secrets.token_hex(20)
        self.url = ""
        self.process = None
        self.start()

    def start(self, key: str = "") -> None:
        """Serve, with another key where one is given."""
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.process.stdin.write((key or self.key) + "\n")
        self.process.stdin.flush()
        self.url = self.process.stdout.readline().strip() + "/v1"
        assert self.url.startswith("http"), "the company's API did not start"
        wait_until(lambda: http_status(self.url[:-3] + "/health") == 200, 60, self.url)

    def stop(self) -> None:
        """Be away: connections are refused."""
        self.process.kill()
        self.process.wait(timeout=20)


class Site:
    """A small platform of its own on this machine, deployed from an inventory."""

    def __init__(self, docker, folder: Path) -> None:
        self.docker, self.folder = docker, folder
        self.prefix = f"itest-{docker.suffix}-"
        self.port, self.printed = free_port("0.0.0.0"), ""
        docker.containers += [self.prefix + name for name in ("litellm", "ollama", "postgres")]
        (folder / "play.yml").write_text(PLAY)
        (folder / "models.yml").write_text(PLAY_MODELS)
        (folder / "litellm.yml").write_text(PLAY_LITELLM)
        self.base = {
            "platform_container_prefix": self.prefix,
            "platform_network": docker.network,
            "platform_config_dir": str(folder / "etc"),
            "platform_data_dir": str(folder / "data"),
            "platform_secrets_dir": str(folder / "secrets"),
            # Where `weights` has left the role's download; Molecule fills a place of its own.
            "platform_cache_dir": str(CACHE / "artifacts"),
            "platform_litellm_port": self.port,
            "platform_ollama_port": free_port("127.0.0.1"),
            "litellm_db_pool": CONNECTIONS,
            "litellm_max_tokens": MAX_TOKENS,
            "ollama_sources": ["file"],
            # Roles tell their containers by this label; others on this machine are not ours.
            "service_owner": self.prefix + "{{ ansible_parent_role_names | first }}",
        }

    def play(self, variables: dict, playbook: str = "play.yml", hosts=("here",), ollama=True):
        """Run a playbook against this machine and return how it ended."""
        members = {"hosts": {host: {} for host in hosts}}
        groups = {"postgres": {"hosts": {"here": {}}}, "litellm": members}
        if ollama:
            groups["ollama"] = {"hosts": {"here": {}}}
        here = {"ansible_connection": "local", "platform_address": "127.0.0.1"}
        here["ansible_python_interpreter"] = sys.executable
        inventory = {"all": {"vars": here, "children": {"platform": {"children": groups}}}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        (self.folder / "vars.json").write_text(json.dumps({**self.base, **variables}))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "--limit=here"]
        command += ["-i", str(self.folder / "hosts.yml"), "-e", f"@{self.folder / 'vars.json'}"]
        return subprocess.run(
            [*command, str(self.folder / playbook)],
            cwd=support.REPOSITORY,
            env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def deploy(self, variables: dict, playbook: str = "play.yml") -> str:
        """Deploy with these variables and return what Ansible printed."""
        done = self.play(variables, playbook, ollama=bool(variables["ollama_models"]))
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        self.printed += done.stdout
        return done.stdout

    @property
    def developer_key(self) -> str:
        """The virtual key that the role made."""
        return (self.folder / "secrets" / "key-first-developer").read_text().strip()

    def ask(self, path: str, body: dict | None = None) -> tuple[int, dict, str]:
        """Ask LiteLLM as a developer: status, headers (lower case) and body."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=json.dumps(body).encode() if body else None,
            headers={
                "Authorization": f"Bearer {self.developer_key}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, lower(answer.headers), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, lower(error.headers), error.read().decode()

    def chat(self, model: str, **more) -> tuple[int, dict, str]:
        """Ask a model for a few words."""
        question = [{"role": "user", "content": "What is the capital of France?"}]
        body = {"model": model, "messages": question, "max_tokens": 8, "temperature": 0, **more}
        given = {name: value for name, value in body.items() if value is not None}
        return self.ask("/v1/chat/completions", given)

    def answers(self, model: str) -> dict:
        """Return the headers of an answer with words in it."""
        status, headers, body = self.chat(model)
        assert status == 200, body
        answer = json.loads(body)
        assert answer["choices"][0]["message"]["content"].strip(), body
        assert answer["usage"]["completion_tokens"] > 0
        return headers

    def answered_by(self, model: str) -> str:
        """Return the base URL of the deployment that answered a conversation of its own."""
        question = [{"role": "user", "content": f"What is {secrets.randbelow(10**6)} plus one?"}]
        status, headers, body = self.chat(model, messages=question)
        assert status == 200, body
        return headers["x-litellm-model-api-base"].rstrip("/")

    def answers_itself(self, model: str) -> bool:
        """True when a model answers without help of another."""
        status, headers, _body = self.chat(model)
        return status == 200 and headers.get("x-litellm-attempted-fallbacks", "0") == "0"


def holders(folder: Path, value: str) -> list[Path]:
    """Return the files below a folder that hold a value."""
    return [path for path in folder.rglob("*") if path.is_file() and value in path.read_text()]


def lower(headers) -> dict:
    return {name.lower(): value for name, value in headers.items()}


@pytest.fixture(scope="module")
def start_api(docker, weights):
    """Start a company's API: `start_api(mode="chat")`."""
    python = interpreter(COMPANY_API_PACKAGE)
    started = []

    def start(mode: str = "chat") -> CompanyAPI:
        started.append(CompanyAPI(python, docker.gateway(), weights, mode))
        return started[-1]

    yield start
    for api in started:
        api.stop()


@pytest.fixture(scope="module")
def company(start_api):
    """The company's API, a server for chat and one for embeddings that share the key."""
    chat, embedding = start_api(), start_api("embedding")
    embedding.stop()
    embedding.key = chat.key
    embedding.start()
    return {"chat": chat, "embedding": embedding}


@pytest.fixture(scope="module")
def site(docker, company, tmp_path_factory):
    if os.geteuid():
        pytest.skip("needs root, as the roles do: files belong to the users of containers")
    for service in ("postgres", "ollama", "litellm"):
        image(service)
    folder = tmp_path_factory.mktemp("site")
    (folder / "secrets").mkdir(mode=0o700)
    # Where the example says that the company's key is kept.
    (folder / "secrets" / "company_api_key").write_text(company["chat"].key + "\n")
    yield Site(docker, folder)
    for name in ("litellm", "ollama", "postgres"):
        subprocess.run(["docker", "rm", "-fv", f"itest-{docker.suffix}-{name}"], check=False)
    shutil.rmtree(folder / "data", ignore_errors=True)


def variables_of(example: str, company: dict) -> dict:
    """Return an example's variables with addresses and weights that exist here."""
    data = yaml.safe_load((EXAMPLES / f"{example}.yml").read_text())
    for model in data["ollama_models"]:
        model["file"] = WEIGHTS
    for api in data.get("litellm_custom_apis", []):
        assert api["api_base"] == PLACEHOLDER
        api["api_base"] = company[api.get("mode", "chat")].url
    return data


class Deployed:
    """The site as one example wants it."""

    def __init__(self, site: Site, variables: dict) -> None:
        self.site, self.variables = site, variables
        has_database = (site.folder / "secrets" / "postgres_password").exists()
        site.deploy(variables, "models.yml" if has_database else "play.yml")

    def models(self, mode: str) -> list[str]:
        """Return the names that the example offers for chat, or for embedding."""
        wanted = mode == "embedding"
        data = self.variables
        names = [m["name"] for m in data["ollama_models"] if m.get("embedding", False) == wanted]
        apis = data.get("litellm_custom_apis", [])
        return names + [a["model_name"] for a in apis if a.get("mode", "chat") == mode]


@pytest.fixture(scope="module")
def deployed(request, site, company):
    return Deployed(site, variables_of(request.param, company))


def of(*examples: str):
    """Run a test on deployments of these examples."""
    return pytest.mark.parametrize("deployed", examples, indirect=True)


# The third example, Ollama alone, is what Molecule's light tier is.
every_example = of("custom-api", "hybrid")


@every_example
def test_offers_exactly_the_declared_models(deployed):
    status, _headers, body = deployed.site.ask("/v1/models")
    declared = deployed.models("chat") + deployed.models("embedding")
    assert status == 200 and declared
    assert sorted(model["id"] for model in json.loads(body)["data"]) == sorted(declared)


@every_example
def test_a_virtual_key_gets_answers_of_every_model(deployed):
    for model in deployed.models("chat"):
        headers = deployed.site.answers(model)
        assert headers.get("x-litellm-attempted-fallbacks", "0") == "0"
    for model in deployed.models("embedding"):
        status, _headers, body = deployed.site.ask(
            "/v1/embeddings", {"model": model, "input": "Paris"}
        )
        assert status == 200, body
        vector = json.loads(body)["data"][0]["embedding"]
        assert len(vector) == 576 and any(vector)


@of("hybrid")
def test_every_cli_is_served_in_its_own_shape(deployed, run_module):
    site = deployed.site
    shapes = ["models", *llm.PLAIN, *llm.STREAMED]
    models = [
        {"name": name, "gemini_name": name.replace(":", "-"), "checks": shapes}
        for name in deployed.models("chat")
    ]
    # The company's server has no template that makes so small a model call tools.
    models[0]["checks"] = [*shapes, *llm.CALLING]
    models += [{"name": n, "checks": ["models", "embedding"]} for n in deployed.models("embedding")]
    url = f"http://127.0.0.1:{site.port}"
    result = run_module("llm_health", url=url, api_key=site.developer_key, models=models)
    assert not result["failed"], result["msg"]
    streamed = [check for check in result["checks"] if "stream" in check["name"]]
    assert len(streamed) == 8 and all(check["first_ms"] > 0 for check in streamed)


@of("hybrid")
def test_a_key_is_kept_to_its_models_and_dies_when_it_is_revoked(deployed, run_module):
    site = deployed.site
    master_key = (site.folder / "secrets" / "litellm_master_key").read_text().strip()
    url = f"http://127.0.0.1:{site.port}"
    key = "sk-" + secrets.token_hex(20)
    of_key = {"litellm_url": url, "master_key": master_key, "key_alias": "kept"}
    made = run_module("litellm_key", **of_key, key=key, models=[COMPANY_MODEL])
    assert not made["failed"], made
    restricted = {"url": url, "api_key": key, "denied_models": [OLLAMA_MODEL]}
    valid = run_module("llm_health", **restricted)
    assert not valid["failed"], valid["msg"]
    assert run_module("llm_health", **{**restricted, "denied_models": [COMPANY_MODEL]})["failed"]

    still = {"url": url, "api_key": site.developer_key, "denies": ["revoked_key"]}
    early = run_module("llm_health", **still, revoked_key=key)
    assert early["failed"] and early["checks"][0]["found"] == "HTTP 200"
    assert not run_module("litellm_key", **of_key, state="absent")["failed"]
    late = run_module("llm_health", **still, revoked_key=key, revoked_within_seconds=30)
    assert not late["failed"], late["msg"]
    # A dead key is denied everything, which proves nothing of its models.
    dead = run_module("llm_health", **restricted, required=False)["checks"][0]
    assert (dead["name"], dead["status"]) == ("denies_model", "unknown")


@every_example
def test_an_unknown_model_is_named_in_the_error(deployed):
    status, _headers, body = deployed.site.chat("gpt-9")
    assert status in (400, 404), body
    assert "gpt-9" in json.loads(body)["error"]["message"]


@of("hybrid")
def test_an_answer_ends_at_the_models_bound_where_the_request_names_none(deployed):
    """Without a bound a small model that goes in circles kept its only place for ten minutes."""
    question = [{"role": "user", "content": "Why is the sky blue?"}]
    status, _headers, body = deployed.site.chat(OLLAMA_MODEL, max_tokens=None, messages=question)
    assert status == 200, body
    answer = json.loads(body)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == MAX_TOKENS


@of("custom-api")
def test_a_refusal_of_the_company_reaches_the_developer_without_the_key(deployed, company):
    api = company["chat"]
    api.stop()
    api.start(key="another")
    try:
        status, _headers, body = deployed.site.chat(COMPANY_MODEL)
        assert status == 401 and "Invalid API Key" in body
        assert api.key not in body
    finally:
        api.stop()
        api.start()
    wait_until(lambda: deployed.site.answers_itself(COMPANY_MODEL), 60, "the company's API")


@of("hybrid")
def test_ollama_answers_while_the_company_is_away(deployed, company):
    site, api = deployed.site, company["chat"]
    api.stop()
    try:
        headers = site.answers(COMPANY_MODEL)
        assert int(headers["x-litellm-attempted-fallbacks"]) == 1
        status, headers, body = site.chat(COMPANY_MODEL, stream=True)
        assert status == 200 and body.rstrip().endswith("data: [DONE]"), body
    finally:
        api.start()
    wait_until(lambda: site.answers_itself(COMPANY_MODEL), 60, "the company's API")


@of("hybrid")
def test_the_company_answers_while_ollama_is_away(deployed):
    site = deployed.site
    container = site.prefix + "ollama"
    site.docker.run("stop", container)
    try:
        headers = site.answers(OLLAMA_MODEL)
        assert int(headers["x-litellm-attempted-fallbacks"]) == 1
    finally:
        site.docker.run("start", container)
    wait_until(lambda: site.answers_itself(OLLAMA_MODEL), 60, "Ollama")


@of("hybrid")
def test_the_pool_holds_its_bound(deployed):
    with ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(lambda _n: deployed.site.ask("/v1/models")[0], range(40)))
    assert answered == [200] * 40
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    psql = ("psql", "-h", "127.0.0.1", "-U", "litellm", "-d", "litellm", "-tAc")
    password = (deployed.site.folder / "secrets" / "postgres_password").read_text().strip()
    with_password = ("exec", f"--env=PGPASSWORD={password}", deployed.site.prefix + "postgres")
    open_now = int(deployed.site.docker.run(*with_password, *psql, count)) - 1  # less this one
    assert 0 < open_now <= CONNECTIONS


@of("hybrid")
def test_secrets_are_in_files_only(deployed, company):
    site = deployed.site
    values = {path.name: path.read_text().strip() for path in (site.folder / "secrets").iterdir()}
    assert values["company_api_key"] == company["chat"].key
    shown = {"what Ansible printed": site.printed}
    for name in ("litellm", "ollama", "postgres"):
        container = site.prefix + name
        shown[f"docker inspect {name}"] = site.docker.run("inspect", container)
        done = subprocess.run(["docker", "logs", container], capture_output=True, check=True)
        shown[f"the log of {name}"] = (done.stdout + done.stderr).decode()
    home = site.folder / "etc" / "services" / "litellm"
    for path in (home / "config").iterdir():
        shown[path.name] = path.read_text()
    assert "Uvicorn running" in shown["the log of litellm"], "the wrong log was read"
    found = [(s, where) for s, v in values.items() for where, text in shown.items() if v in text]
    assert not found
    held = holders(home, company["chat"].key)
    assert {path.parent for path in held} == {home / "secrets" / "env"}
    assert {path.stat().st_mode & 0o777 for path in held} == {0o400}


@of("hybrid")
def test_a_key_no_longer_declared_is_gone(deployed, company):
    """The custom API example, deployed before, hands out the key twice."""
    home = deployed.site.folder / "etc" / "services" / "litellm"
    assert len(holders(home, company["chat"].key)) == 1


@of("hybrid")
def test_pools_that_exceed_the_database_are_refused_before_anything_changes(deployed):
    site = deployed.site
    started = site.docker.run("inspect", "--format={{.State.StartedAt}}", site.prefix + "litellm")
    # 90 are to be had. Two of the three factors alone stay below.
    pools = {"litellm_workers": 2, "litellm_db_pool": 30}
    refused = site.play({**deployed.variables, **pools}, "litellm.yml", hosts=("here", "there"))
    assert refused.returncode
    for part in ("found 120 connections (2 replicas x 2 workers x 30 each)", "at most 90", "lower"):
        assert part in refused.stdout, refused.stdout
    assert "changed=0 " in refused.stdout
    now = site.docker.run("inspect", "--format={{.State.StartedAt}}", site.prefix + "litellm")
    assert now == started


@of("hybrid")
def test_deployments_of_one_name_have_keys_of_their_own(deployed, company, start_api):
    site, second = deployed.site, start_api()
    entry = {"model_name": COMPANY_MODEL, "model": "large-v2"}
    variables = {
        **deployed.variables,
        "litellm_fallbacks": [],
        "litellm_custom_apis": [
            {**entry, "api_base": api.url, "api_key": api.key} for api in (company["chat"], second)
        ],
    }
    site.deploy(variables, "models.yml")
    for away in (company["chat"], second):
        away.stop()
        try:
            for _time in range(6):
                site.answered_by(COMPANY_MODEL)
        finally:
            away.start()
        # It is set aside for some seconds; with the other one gone meanwhile, nobody could answer.
        wait_until(lambda url=away.url: site.answered_by(COMPANY_MODEL) == url, 60, away.url)
