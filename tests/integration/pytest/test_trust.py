# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A company's authority at run time: real images that never heard of it talk to its servers.

Each authority here is made by the test, so no image has it; each service is asked without it, too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.engine import definition
from conftest import http_status, image, wait_until
from servers import scripted_api
from servers.private_tls import Authority
from servers.registry import Registry
from test_mcp_health import KEY, SERVERS, TOOLS
from test_model_sources import Site, free_port
from test_ollama_model import tiny_gguf

pytestmark = pytest.mark.integration

SELF = {"name": "it", "image": "it", "user": "10001:10001", "command": [], "memory_mb": 64}
# How programs ask, each in its own way.
CLIENTS = {
    "python": (
        "tool-base",
        ["python3", "-c", "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).status)"],
    ),
    "node": (
        "tool-base",
        [
            *("node", "-e"),
            "fetch(process.argv[1]).then((a) => console.log(a.status),"
            " (error) => { console.error(error.cause); process.exit(1) })",
        ],
    ),
    "requests": (
        "litellm",
        [
            *("/opt/litellm/bin/python", "-c"),
            "import sys, requests; print(requests.get(sys.argv[1]).status_code)",
        ],
    ),
    "httpx": (
        "litellm",
        [
            *("/opt/litellm/bin/python", "-c"),
            "import sys, httpx; print(httpx.get(sys.argv[1]).status_code)",
        ],
    ),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "company")


@pytest.fixture(scope="module")
def api(docker, authority):
    """The company's model API, with the company's certificate; returns its address."""
    address = docker.gateway()
    server = scripted_api.Server((address, 0), scripted_api.Handler)
    authority.protect(server, address)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"https://{address}:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def options(run_module, tmp_path, authority):
    """What Docker is told for a container of the platform, with the authority or without."""

    def make(is_trusted: bool) -> list[str]:
        path, bundle = str(tmp_path / "trust"), str(authority.certificate)
        trust = run_module(
            "trust_store", path=path, ca_bundle=bundle, _ansible_remote_tmp=str(tmp_path)
        )
        context = {
            **{"prefix": "x-", "config_dir": "/x", "data_dir": "/x", "owner": "it", "images": {}},
            "services": {"it": {"networks": [{"name": "x", "interface": "x"}]}},
            "trust": {"path": path, "digest": trust["digest"] if is_trusted else ""},
        }
        (found,) = definition.specs([{**SELF, "health": {"command": []}}], context)
        container = found["container"]
        return [
            *(f"--volume={mount}" for mount in container["volumes"]),
            *(f"--env={name}={value}" for name, value in container["env"].items()),
        ]

    return make


@pytest.mark.parametrize("client", CLIENTS)
def test_programs_trust_the_companys_authority_each_in_its_own_way(docker, options, api, client):
    name, command = CLIENTS[client]
    network = ("run", "--rm", f"--network={docker.network}", "--entrypoint=")
    before = docker.try_run(*network, *options(False), image(name), *command, f"{api}/models")
    assert before.returncode and "certificate" in before.stderr.lower(), before
    assert docker.run(*network, *options(True), image(name), *command, f"{api}/models") == "200"


@pytest.mark.parametrize("is_trusted", [True, False])
def test_the_browser_opens_the_companys_pages(docker, options, api, run_module, is_trusted):
    words = ("run", "--rm", "--interactive", "--read-only", "--tmpfs=/tmp", "--entrypoint=")
    container = [*words, f"--network={docker.network}", *options(is_trusted), image("tool-browser")]
    expected = f"Page URL: {api}/models" if is_trusted else "ERR_CERT_AUTHORITY_INVALID"
    page = {"tool": "browser_navigate", "arguments": {"url": f"{api}/models"}}
    found = run_module(
        "mcp_health",
        transport="stdio",
        command=["docker", *container, "playwright-mcp"],
        call={**page, "contains": expected, "is_error": not is_trusted},
        timeout=60,
    )
    assert not found["failed"], found["msg"]


ASK = """
import java.net.*;
class Ask {
    public static void main(String[] words) throws Exception {
        var asked = (HttpURLConnection) new URL(words[0]).openConnection();
        System.out.println(asked.getResponseCode());
    }
}
"""


@pytest.mark.skipif(not shutil.which("javac"), reason="needs a JDK")
def test_java_trusts_the_companys_authority(options, api, tmp_path):
    """No image of the platform has Java, so this machine's asks, with what a container is told."""
    (tmp_path / "Ask.java").write_text(ASK)
    given = dict(word.removeprefix("--env=").split("=", 1) for word in options(True)[1:])
    told = given["JAVA_TOOL_OPTIONS"].replace("/trust/", f"{tmp_path}/trust/")

    def ask(**env):
        return subprocess.run(
            ["java", tmp_path / "Ask.java", f"{api}/models"],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
        )

    assert "PKIX path building failed" in ask(JAVA_TOOL_OPTIONS="").stderr
    assert ask(JAVA_TOOL_OPTIONS=told).stdout.strip() == "200"


@pytest.fixture
def mcp_server(docker, authority, mcp_python):
    """An MCP server of the company, with its certificate; returns its address."""
    address = docker.gateway()
    port = free_port(address)
    process = subprocess.Popen(
        [
            *(mcp_python, SERVERS / "mcp_server.py", str(port), KEY),
            *(address, *authority.server(address)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"https://{address}:{port}/mcp"
    process.kill()  # a gateway that keeps its session would have it wait
    process.wait(10)


@pytest.fixture
def start_gateway(docker, tmp_path, mcp_server, options):
    """Start a gateway before the company's MCP server; returns its address and container."""
    folder = tmp_path / "config"
    folder.mkdir()
    for name in ("key", "header"):
        (folder / name).write_text(KEY + "\n")
    header = {"Authorization": {"file": "/config/header", "prefix": "Bearer "}}
    config = {
        "listen": {"host": "0.0.0.0", "port": 8080, "allowed_hosts": ["*"]},
        "auth": {"static_keys": [{"alias": "me", "key_file": "/config/key"}]},
        "upstreams": {
            "wiki": {"type": "http", "url": mcp_server, "headers_from_files": header},
        },
    }
    (folder / "gateway.yml").write_text(json.dumps(config))

    def start(is_trusted: bool) -> tuple[str, str]:
        container = docker.start(
            f"gateway-{is_trusted}".lower(),
            image("gateway"),
            *options(is_trusted),
            *("--publish=127.0.0.1::8080", f"--volume={folder}:/config:ro"),
            command=["--config", "/config/gateway.yml"],
        )
        url = f"http://{docker.address(container, 8080)}"
        wait_until(lambda: http_status(f"{url}/health") == 200, 30, "the gateway")
        return f"{url}/mcp", container

    return start


def test_the_gateway_offers_the_tools_of_an_https_server(start_gateway, run_module):
    url, _container = start_gateway(is_trusted=True)
    wanted = [f"wiki__{tool}" for tool in TOOLS]

    def listed():
        found = run_module("mcp_health", url=url, key=KEY, tools=wanted)
        return not found["failed"]

    wait_until(listed, 30, "the tools of the company's server")


def test_the_gateway_without_the_authority_says_why_it_offers_none(start_gateway, docker):
    _url, container = start_gateway(is_trusted=False)

    def reason():
        return docker.try_run("logs", container).stderr

    wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in reason(), 30, "the reason in its log")


@pytest.fixture(scope="module")
def mirror(docker, authority):
    """A mirror of models with the company's certificate."""
    serving = Registry(docker.gateway(), authority)
    for number, name in enumerate(("first:1", "second:1")):
        serving.add(name, tiny_gguf(number))
    yield serving
    serving.close()


@pytest.fixture(scope="module")
def site(docker, tmp_path_factory, authority, api, mirror):
    """A platform of the roles with the company's API and mirror."""
    if os.geteuid():
        pytest.skip("needs root, as the roles do: files belong to the users of containers")
    for service in ("postgres", "ollama", "litellm"):
        image(service)
    folder = tmp_path_factory.mktemp("trusting")
    (folder / "secrets").mkdir(mode=0o700)
    made = Site(docker, folder)
    shutil.copy(authority.certificate, folder / "company.pem")
    made.variables = {
        "platform_ca_bundle": str(folder / "company.pem"),
        "ollama_sources": ["registry"],
        "ollama_registry": mirror.host,
        "ollama_models": [{"name": "first:1"}],
        "litellm_custom_apis": [
            {"model_name": "company", "model": "scripted", "api_base": api, "api_key": "none"}
        ],
    }
    made.deploy(made.variables)
    yield made
    for name in ("litellm", "ollama", "postgres"):
        subprocess.run(["docker", "rm", "-fv", made.prefix + name], check=False)
    shutil.rmtree(folder / "data", ignore_errors=True)


def containers(site) -> dict[str, str]:
    """Return the id of each container of the site."""
    names = ("postgres", "ollama", "litellm")
    return {name: site.docker.run("inspect", "-f={{.Id}}", site.prefix + name) for name in names}


def pull(site, name: str) -> str:
    """Let Ollama pull from the mirror; returns what it says."""
    return site.docker.try_run(
        "exec",
        site.prefix + "ollama",
        "ollama",
        "pull",
        f"{site.variables['ollama_registry']}/{name}",
    ).stderr


def test_roles_tell_ollama_and_litellm_of_the_authority_and_of_another_one(site, mirror):
    """One test, because a deployment takes a minute on a busy machine."""
    status, _headers, body = site.chat("company")
    assert status == 200 and "One two three." in body
    assert any("/manifests/" in path for path in mirror.requested)
    before = containers(site)
    assert "changed=0 " in site.deploy(site.variables)

    other = Authority(site.folder, "other")
    shutil.copy(other.certificate, site.folder / "company.pem")
    site.deploy(site.variables)
    after = containers(site)
    replaced = {name for name in before if before[name] != after[name]}
    assert replaced == {"ollama", "litellm"}, "the database connects to nothing outside"
    status, _headers, body = site.chat("company")
    assert status >= 500 and "connection error" in body.lower(), body
    assert "x509" in pull(site, "library/second:1")
