# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""MCP servers out of images that others made, deployed by the role and called through the gateway.

The program is GitHub's own MCP server. Its images here are as hostile as its publisher's: nothing
in them but the program, an entrypoint of their own, and a user that is not ours.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import support
import yaml
from conftest import http_status, image, wait_until
from test_model_sources import free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="roles hand files to the users of containers"),
]

KEY = "sk-itest-of-the-gateway-0123456789"
TOKEN = "github_pat_" + "0123456789" * 4  # of the kind whose scopes nobody asks GitHub for
VERSION = "v1.0.0"
EXAMPLE = re.compile(r"```yaml\n(mcp_servers:\n  hub:.+?)```", re.S)
DOCKERFILE = """
FROM {tool} AS tool
FROM scratch
COPY --from=tool /usr/local/bin/github-mcp-server /server/github-mcp-server
WORKDIR /server
ENV SSL_CERT_FILE=/nowhere.pem
VOLUME /scratch/
{user}
ENTRYPOINT ["/server/github-mcp-server"]
CMD ["{cmd}"]
"""
PLAY = """
- hosts: here
  gather_facts: false
  roles: [intranet.mcp.platform]
  tasks:
    - {include_role: {name: intranet.mcp.tool_server}}
    - ansible.builtin.copy:
        content: "{{ platform_mcp_servers | intranet.mcp.gateway_upstreams(endpoints) | to_json }}"
        dest: "{{ folder }}/upstreams.json"
        mode: "0644"
      vars:
        tools: "{{ platform_mcp_servers | intranet.mcp.mcp_servers_here }}"
        names: "{{ tools | map('regex_replace', '^', 'tool-') }}"
        endpoints: "{{ dict(tools | zip(query('intranet.mcp.endpoint', *names))) }}"
"""
BUILTIN = ("filesystem", "browser", "example")


def example(language: str) -> dict:
    """Return the entries that the page about MCP servers shows."""
    page = support.REPOSITORY / "docs" / language / "mcp-servers.md"
    (block,) = EXAMPLE.findall(page.read_text())
    return yaml.safe_load(block)["mcp_servers"]


class Site:
    """Tool servers of the role on this machine, and a gateway before them."""

    def __init__(self, docker, folder: Path) -> None:
        self.docker, self.folder = docker, folder
        self.prefix = f"itest-{docker.suffix}-"
        docker.containers += [f"{self.prefix}tool-{name}" for name in ("hub", "web")]
        (folder / "play.yml").write_text(PLAY)
        self.variables = {
            "folder": str(folder),
            "platform_container_prefix": self.prefix,
            "platform_network": docker.network,
            "platform_config_dir": str(folder / "etc"),
            "platform_data_dir": str(folder / "data"),
            "platform_secrets_dir": str(folder / "secrets"),
            "service_owner": self.prefix + "{{ ansible_parent_role_names | first }}",
            "service_health_timeout_seconds": 90,
        }

    def deploy(self, servers: dict, **more) -> subprocess.CompletedProcess:
        """Run the role for these servers."""
        here = {"ansible_connection": "local", "platform_address": "127.0.0.1"}
        here["ansible_python_interpreter"] = sys.executable
        groups = {name: {"hosts": {"here": {}}} for name in ("tool_servers", "gateway")}
        inventory = {"all": {"vars": here, "children": groups}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        variables = {**self.variables, "mcp_servers": servers, **more}
        (self.folder / "vars.yml").write_text(yaml.safe_dump(variables))
        program = Path(sys.executable).parent / "ansible-playbook"
        return subprocess.run(
            [
                *(program, "-i", self.folder / "hosts.yml", "-e", f"@{self.folder}/vars.yml"),
                self.folder / "play.yml",
            ],
            cwd=support.REPOSITORY,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start_gateway(self) -> str:
        """Start a gateway before the servers; returns its address."""
        home = self.folder / "gateway"
        home.mkdir()
        for secret in self.folder.glob("secrets/tool-token-*"):
            name = secret.name.removeprefix("tool-token-")
            (home / f"token-{name}").write_text(secret.read_text())
        (home / "header-web_authorization").write_text(f"Bearer {TOKEN}")
        upstreams = json.loads((self.folder / "upstreams.json").read_text())
        (home / "key").write_text(KEY)
        config = {
            "listen": {"host": "0.0.0.0", "port": 8080, "allowed_hosts": ["*"]},
            "auth": {"static_keys": [{"alias": "me", "key_file": "/secrets/key"}]},
            "upstreams": upstreams,
        }
        (home / "gateway.yml").write_text(json.dumps(config))
        container = self.docker.start(
            "gateway",
            image("gateway"),
            *("--publish=127.0.0.1::8080", f"--volume={home}:/secrets:ro"),
            command=["--config", "/secrets/gateway.yml"],
        )
        for name in ("hub", "web"):
            network = f"{self.docker.network}-tool-{name}"
            self.docker.run("network", "connect", network, container)
        url = f"http://{self.docker.address(container, 8080)}"
        wait_until(lambda: http_status(f"{url}/health") == 200, 30, "the gateway")
        return f"{url}/mcp"


@pytest.fixture(scope="module")
def publishers(docker):
    """The publisher's images, under the names that the role gives to what it pulled."""
    program = image("tool-github")
    image("tool-bridge")
    made = {
        "hub": DOCKERFILE.format(tool=program, user="", cmd="stdio"),
        "web": DOCKERFILE.format(tool=program, user="USER 65532", cmd="http"),
    }
    names = [f"intranet-mcp/tool-{name}:{VERSION}" for name in made]
    for name, text in zip(names, made.values(), strict=True):
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", name, "-"],
            input=text,
            text=True,
            check=True,
            capture_output=True,
        )
    yield names
    docker.try_run("image", "rm", *names)


@pytest.fixture(scope="module")
def servers():
    """What the page shows, on ports that are free here."""
    shown = {
        name: {**entry, "port": free_port("127.0.0.1")} for name, entry in example("en").items()
    }
    return {**{name: {"enabled": False} for name in BUILTIN}, **shown}


@pytest.fixture(scope="module")
def site(docker, publishers, servers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("publishers")
    (folder / "secrets").mkdir(mode=0o700)
    (folder / "secrets" / "hub_token").write_text(TOKEN + "\n")
    made = Site(docker, folder)
    done = made.deploy(servers)
    assert done.returncode == 0, done.stdout[-6000:]
    yield made
    for name in ("hub", "web"):
        docker.try_run("rm", "-fv", f"{made.prefix}tool-{name}")
    shutil.rmtree(folder / "data", ignore_errors=True)


@pytest.fixture(scope="module")
def gateway(site):
    return site.start_gateway()


def tools(run_module, url: str, prefix: str) -> list[str]:
    """Return the tools of one server that the gateway lists."""
    found = run_module("mcp_health", url=url, key=KEY)
    assert not found["failed"], found
    return [tool for tool in found["sessions"][0]["tools"] if tool.startswith(prefix)]


def test_both_languages_show_the_same():
    assert example("zh-CN") == example("en")


def test_the_gateway_offers_the_tools_of_an_image_that_speaks_on_stdio(gateway, run_module):
    listed = wait_until(lambda: tools(run_module, gateway, "hub__"), 30, "tools of the stdio image")
    assert {"hub__get_me", "hub__get_file_contents"} <= set(listed)
    assert "hub__create_repository" not in listed, "--read-only of its args"


def test_the_gateway_offers_the_tools_of_an_image_that_listens(gateway, run_module):
    listed = wait_until(lambda: tools(run_module, gateway, "web__"), 30, "tools of the http image")
    assert "web__get_me" in listed


def test_a_secret_reaches_the_program_and_stands_nowhere_else(site, docker):
    container = f"{site.prefix}tool-hub"
    assert TOKEN not in docker.run("inspect", container)
    (child,) = [
        pid
        for pid in docker.run("top", container, "-eo", "pid,args").splitlines()
        if "github-mcp-server stdio" in pid and "mcp_gateway" not in pid
    ]
    environ = Path(f"/proc/{child.split()[0]}/environ").read_bytes().split(b"\0")
    assert f"GITHUB_PERSONAL_ACCESS_TOKEN={TOKEN}".encode() in environ
    given = {entry.partition(b"=")[0] for entry in environ}
    assert not given & {b"PYTHONHOME", b"PYTHONPATH", b"LD_PRELOAD"}, "what the bridge alone needs"


def test_the_program_runs_as_the_site_says_whatever_user_its_image_names(site, docker):
    users = {
        name: docker.run("inspect", "--format={{.Config.User}}", f"{site.prefix}tool-{name}")
        for name in ("hub", "web")
    }
    assert users == {"hub": "10001:10001", "web": "10001:10001"}


def test_the_token_of_a_bridge_is_nowhere_in_its_container(site):
    token = (site.folder / "secrets" / "tool-token-hub").read_text().strip()
    home = site.folder / "etc" / "services" / "tool-hub"
    held = [path for path in home.rglob("*") if path.is_file() and token in path.read_text()]
    assert not held


def test_a_container_changes_nothing_that_others_run_and_drives_no_engine(site, docker):
    """The bridge's directory is mounted into several; the engine's socket is root's power."""
    for name in ("hub", "web"):
        found = docker.run("inspect", "--format={{json .Mounts}}", f"{site.prefix}tool-{name}")
        mounts = {mount["Destination"]: mount for mount in json.loads(found)}
        assert mounts["/bridge"]["RW"] is False
        assert not [mount for mount in mounts.values() if mount["Source"].endswith(".sock")]


def test_a_volume_of_the_image_is_memory_with_a_bound(site, docker):
    for name in ("hub", "web"):
        pid = docker.run("inspect", "--format={{.State.Pid}}", f"{site.prefix}tool-{name}").strip()
        (mount,) = [
            line
            for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
            if line.split()[4] == "/scratch"
        ]
        assert " - tmpfs " in mount and re.search(r"size=\d+k", mount), mount


def test_a_second_run_changes_nothing(site, servers):
    done = site.deploy(servers)
    assert "changed=0 " in done.stdout, done.stdout[-4000:]


def test_a_program_that_is_not_in_the_image_ends_in_words(site, servers):
    """The run stops at the container that does not become healthy, and says why."""
    wrong = {**servers["web"], "command": ["/server/no-such"]}
    wrong.pop("args")
    done = site.deploy({**servers, "web": wrong}, service_health_timeout_seconds=15)
    assert done.returncode
    said = done.stdout.replace("\\n", "\n")
    assert "cannot start /server/no-such: No such file" in said
    assert "found: One or more items failed" not in said, "which of them, and why, is what helps"


def test_an_image_that_is_not_there_is_named_before_anything_changes(site, servers):
    gone = {**servers, "far": {**servers["hub"], "image": "itest.example/gone:v9"}}
    done = site.deploy(gone)
    assert done.returncode
    words = " ".join(done.stdout.split())
    assert (
        "found no image intranet-mcp/tool-far:v9 on here, expected what mcp_servers names" in words
    )
    assert "changed=0 " in done.stdout
