# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The image module against a real engine, and the images themselves under real restrictions."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request

import pytest
import support
from conftest import http_status, image, wait_until

pytestmark = pytest.mark.integration

SCRATCH = "FROM scratch\nCOPY content /content\n"
HARDENED = ("--read-only", "--tmpfs=/tmp", "--memory=1g")


def docker_output(*arguments):
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def own_image(docker, tmp_path):
    """Have `intranet-mcp/NAME:1` by the module, as a play does; the image is gone afterwards."""
    name = f"itest-{secrets.token_hex(4)}"
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(SCRATCH)
    (context / "content").write_text("one")
    made = OwnImage(name, context, tmp_path)
    yield made
    docker_output("image", "rm", "-f", made.reference)


class OwnImage:
    def __init__(self, name, context, folder):
        self.name, self.context, self.folder = name, context, folder
        self.reference = f"intranet-mcp/{name}:1"
        self.entry = {"version": "1", "recipe": {"context": str(context)}}

    def arguments(self, options):
        return json.dumps(
            {
                "names": [self.name],
                "manifest": {self.name: self.entry},
                "work_path": str(self.folder / "work"),
                "record_path": str(self.folder / "images.json"),
                **options,
            }
        )

    def command(self, options):
        ansible = os.path.join(os.path.dirname(sys.executable), "ansible")
        where = ["-i", "localhost,", "-c", "local", "localhost"]
        interpreter = ["-e", f"ansible_python_interpreter={sys.executable}"]
        module = ["-m", "intranet.mcp.image", "-a", self.arguments(options)]
        return [ansible, *where, *interpreter, *module]

    def ensure(self, **options):
        """Run the module through its action plugin and return its result."""
        done = subprocess.run(
            self.command(options),
            cwd=support.REPOSITORY,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        text = done.stdout
        assert "=> {" in text, text + done.stderr
        self.shown = text.partition("localhost |")[0].splitlines()
        return json.loads(text[text.index("=> {") + 3 :])

    def action(self, **options):
        result = self.ensure(**options)
        assert "images" in result, result["msg"]
        return result["images"][self.name]["action"]

    def id(self):
        return docker_output("image", "inspect", "--format", "{{.Id}}", self.reference)[1].strip()


def test_recipe_is_built_once_and_again_when_it_changes(own_image):
    assert own_image.action(sources=["build"]) == "built"
    first = own_image.id()
    assert own_image.action(sources=["build"]) == "present"
    (own_image.context / "content").write_text("two")
    assert own_image.action(sources=["build"]) == "built"
    assert own_image.id() != first


def test_steps_are_shown_while_a_build_runs(own_image):
    own_image.ensure(sources=["build"])
    assert any(f"build {own_image.name}: done in" in line for line in own_image.shown)


def test_bundle_of_the_control_node_reaches_the_engine(own_image, tmp_path):
    bundle = str(tmp_path / "bundle")
    own_image.ensure(sources=["build"])
    before = own_image.id()
    assert own_image.action(state="exported", bundle_path=bundle) == "exported"
    assert own_image.action(state="absent") == "removed"
    assert own_image.action(sources=["bundle"], bundle_path=bundle) == "loaded"
    assert own_image.id() == before


def test_failed_build_says_why_in_one_message(own_image):
    (own_image.context / "Dockerfile").write_text("FROM scratch\nCOPY nothing /nothing\n")
    result = own_image.ensure(sources=["bundle", "build"])
    assert "bundle: no bundle is given" in result["msg"]
    assert "nothing" in result["msg"]
    assert "Expected one of the sources to work" in result["msg"]


def test_interrupted_build_leaves_no_image_and_a_rerun_converges(own_image):
    """Interrupted means killed: the play and, as on a reboot, the build on the host."""
    base = image("base")
    (own_image.context / "Dockerfile").write_text(
        f"FROM {base}\nCOPY content /\nRUN touch /begun && sleep 4\n"
    )
    play = subprocess.Popen(
        own_image.command({"sources": ["build"]}),
        cwd=support.REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    for line in play.stdout:
        if "RUN touch" in line:
            break
    os.killpg(play.pid, signal.SIGKILL)
    play.wait()
    play.stdout.close()
    assert docker_output("image", "inspect", own_image.reference)[0] != 0
    # The job on the host goes on; the second run waits for it or finds its image.
    assert own_image.action(sources=["build"]) in ("built", "present")
    assert own_image.action(sources=["build"]) == "present"


@pytest.fixture(scope="module")
def container_registry(docker, container_registry_image):
    """Debian's container registry on this machine, made from the platform's own base."""
    name = docker.start(
        "registry",
        container_registry_image,
        "--publish=127.0.0.1::5000",
        "--tmpfs=/var/lib/docker-registry",
    )
    address = docker.address(name, 5000)
    wait_until(lambda: http_status(f"http://{address}/v2/") == 200, 30, "the container registry")
    return address


def test_own_registry_delivers_what_was_pushed_there(own_image, container_registry):
    own_image.ensure(sources=["build"])
    remote = f"{container_registry}/platform/{own_image.name}:1"
    docker_output("tag", own_image.reference, remote)
    code, output = docker_output("push", remote)
    assert code == 0, output
    docker_output("image", "rm", remote, own_image.reference)
    prefix = f"{container_registry}/platform"
    assert own_image.action(sources=["registry"], registry_prefix=prefix) == "pulled"
    assert own_image.action(sources=["registry"], registry_prefix=prefix) == "present"
    docker_output("image", "rm", "-f", remote)


def test_registry_that_lacks_an_image_is_named(own_image, container_registry):
    result = own_image.ensure(sources=["registry"], registry_prefix=container_registry)
    assert f"{container_registry}/{own_image.name}:1" in result["msg"]


class Postgres:
    """A PostgreSQL whose data outlives its containers."""

    def __init__(self, docker, folder):
        self.docker = docker
        self.volume = docker.run("volume", "create")
        self.secret = folder / "password"
        self.secret.write_text(secrets.token_hex(8))
        self.secret.chmod(0o644)
        folder.chmod(0o755)
        self.starts = 0

    def start(self):
        self.starts += 1
        return self.docker.start(
            f"pg{self.starts}",
            image("postgres"),
            *HARDENED,
            "--tmpfs=/run/postgresql",
            f"--volume={self.volume}:/var/lib/postgresql/data",
            f"--volume={self.secret}:/secrets/password:ro",
            env={
                "POSTGRES_USER": "app",
                "POSTGRES_DB": "app",
                "POSTGRES_PASSWORD_FILE": "/secrets/password",
                "PGDATA": "/var/lib/postgresql/data/pgdata",
            },
        )

    def query(self, container, sql, password=None):
        url = f"postgresql://app:{password or self.secret.read_text()}@127.0.0.1/app"
        return docker_output("exec", container, "psql", url, "-tAc", sql)

    def wait(self, container):
        wait_until(lambda: self.query(container, "select 1")[0] == 0, 60, "PostgreSQL")


@pytest.fixture
def postgres(docker, tmp_path):
    database = Postgres(docker, tmp_path)
    yield database
    for number in range(1, database.starts + 1):
        docker_output("rm", "-f", f"itest-pg{number}-{docker.suffix}")
    docker_output("volume", "rm", database.volume)


def test_postgres_keeps_data_and_refuses_a_wrong_password(postgres):
    first = postgres.start()
    postgres.wait(first)
    assert postgres.query(first, "create table kept as select 42 as n")[0] == 0
    code, output = postgres.query(first, "select 1", password="wrong")
    assert code != 0
    assert "password authentication failed" in output
    docker_output("stop", first)
    second = postgres.start()
    postgres.wait(second)
    assert postgres.query(second, "select n from kept")[1].strip() == "42"


def test_postgres_killed_while_it_makes_its_cluster_begins_afresh(postgres):
    first = postgres.start()
    wait_until(
        lambda: "creating configuration files" in docker_output("logs", first)[1], 30, "initdb"
    )
    docker_output("kill", first)
    second = postgres.start()
    postgres.wait(second)


def test_redis_runs_without_any_right(docker):
    container = docker.start(
        "redis", image("redis"), *HARDENED, "--user=999:999", command=("--requirepass", "x")
    )
    ping = ("exec", container, "redis-cli", "-a", "x", "--no-auth-warning", "ping")
    wait_until(lambda: docker_output(*ping)[1].strip() == "PONG", 20, "Redis")


def migrate(postgres, container, *options):
    """Run litellm-migrate beside a database; return status and report."""
    url = f"postgresql://app:{postgres.secret.read_text()}@127.0.0.1/app?connection_limit=5"
    code, output = docker_output(
        "run", "--rm", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL",
        f"--network=container:{container}", f"--env=DATABASE_URL={url}",
        image("litellm"), "litellm-migrate", *options,
    )  # fmt: skip
    report = next(line for line in output.splitlines() if line.startswith("{"))
    return code, json.loads(report)


def test_migrations_are_applied_once_and_a_half_done_one_stops_the_next_run(postgres):
    container = postgres.start()
    postgres.wait(container)
    assert migrate(postgres, container, "--check")[0] == 2
    code, report = migrate(postgres, container)
    assert code == 0
    assert len(report["applied"]) == report["total"] > 200
    assert migrate(postgres, container) == (
        0,
        {"changed": False, "applied": [], "total": report["total"], "unknown": []},
    )
    last = report["applied"][-1]
    postgres.query(
        container,
        f"update _prisma_migrations set finished_at = null where migration_name = '{last}'",
    )
    code, report = migrate(postgres, container)
    assert code == 1
    assert last in report["msg"]
    assert "--mark-applied" in report["msg"]
    assert migrate(postgres, container, "--mark-applied", last)[1]["changed"] is False


def test_schema_that_lost_a_column_is_noticed(postgres):
    container = postgres.start()
    postgres.wait(container)
    migrate(postgres, container)
    postgres.query(container, 'alter table "LiteLLM_VerificationToken" drop column spend cascade')
    code, report = migrate(postgres, container)
    assert code == 1
    assert "LiteLLM_VerificationToken.spend" in report["msg"]


def test_litellm_keeps_structured_values_of_a_key(litellm):
    metadata = {"cost_center": {"id": 7, "tags": ["a", "ü"]}}
    status, made = litellm.ask("/key/generate", {"models": ["small"], "metadata": metadata})
    assert status == 200
    status, known = litellm.ask("/key/info", key=made["key"])
    assert status == 200
    assert known["info"]["metadata"] == metadata
    assert known["info"]["models"] == ["small"]
    assert litellm.ask("/key/info", key="sk-wrong")[0] == 401


def test_litellm_made_its_views(litellm):
    """They need names of columns that the database client's engine must pass as text."""
    assert litellm.ask("/global/spend/keys")[0] == 200


def test_ollama_answers_with_real_weights_as_any_user(start_ollama, weights):
    url = start_ollama(
        "any-user", *HARDENED, "--tmpfs=/home/ollama:mode=1777", "--user=12345:12345"
    )
    import hashlib
    from pathlib import Path

    data = Path(weights).read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"

    def post(path, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(url + path, data=content)
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.read()

    post(f"/api/blobs/{digest}", data)
    post("/api/create", {"model": "small", "files": {"m.gguf": digest}, "stream": False})
    reply = json.loads(
        post(
            "/v1/chat/completions",
            {
                "model": "small",
                "temperature": 0,
                "max_tokens": 12,
                "messages": [{"role": "user", "content": "What is the capital of France?"}],
            },
        )
    )
    assert "Paris" in reply["choices"][0]["message"]["content"]


TOOLS = {
    "tool-filesystem": (["mcp-server-filesystem", "/tmp"], "list_directory"),
    "tool-python": (["example-mcp"], "count"),
    "tool-browser": (["playwright-mcp"], "browser_navigate"),
    "tool-github": (["github-mcp-server", "stdio"], "search_repositories"),
}


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_server_offers_its_tools_without_a_network(name):
    """Nothing is fetched when a container starts: it has no network at all."""
    command, expected = TOOLS[name]
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ]
    server = subprocess.Popen(
        [
            "docker", "run", "--rm", "-i", "--network=none", "--read-only", "--tmpfs=/tmp",
            "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--entrypoint={command[0]}",
            "--env=GITHUB_PERSONAL_ACCESS_TOKEN=none", image(name), *command[1:],
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        server.stdin.writelines(json.dumps(line) + "\n" for line in lines)
        server.stdin.flush()
        replies = (json.loads(line) for line in server.stdout)
        listed = next(reply for reply in replies if reply.get("id") == 2)
    finally:
        server.stdin.close()
        server.wait(30)
        server.stdout.close()
    assert expected in [tool["name"] for tool in listed["result"]["tools"]]
