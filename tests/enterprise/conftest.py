# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One cluster for all tests of the lane, and the example inventory fitted to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "integration" / "pytest"), str(HERE)]

import support  # noqa: E402

support.make_collection_importable()

import cluster_site  # noqa: E402
import gateway_lab  # noqa: E402
import identity_provider  # noqa: E402
import node  # noqa: E402
from ansible_collections.intranet.mcp.plugins.module_utils.images.bundle import Bundle  # noqa: E402
from cluster import PUBLIC_NAME, Cluster  # noqa: E402
from mcp_messages import INITIALIZE  # noqa: E402
from persistent import REQUESTS_PER_SECOND, PersistentClients, Request  # noqa: E402
from servers import scripted_api  # noqa: E402

# On this machine: the model, what a tool server declares, what nobody does, and the provider. The
# models of test_sites.py have two ports between.
MODEL_PORT, TOOL_PORT, OTHER_PORT, PROVIDER_PORT = 8000, 8001, 8002, 8005
CHAT = "/v1/chat/completions"
TALKS_MCP = {"Accept": "application/json, text/event-stream"}
TRY = """\
import socket, sys
for place in sys.argv[1:]:
    host, port = place.split(":")
    try:
        socket.create_connection((host, int(port)), 2).close()
        print(place)
    except OSError:
        pass
"""
BUNDLE = support.REPOSITORY / ".cache" / "bundle"
DOWNLOADS = support.REPOSITORY / ".cache" / "downloads"
PORTAL_LOCK = support.REPOSITORY / "roles/portal/files/mcp_portal/requirements.lock"
VISITOR = HERE.parent / "integration/pytest/servers/portal_visitor.py"
# Requests a second that each test's load reached: they are what the machine carries.
REACHED: dict[str, float] = {}
IMAGE = re.compile(r"^ *image: (\S+)$", re.MULTILINE)


def pytest_terminal_summary(terminalreporter):
    """Say which load the faults met."""
    if REACHED:
        terminalreporter.section(f"requests a second, of {REQUESTS_PER_SECOND} that were asked for")
    for name, rate in REACHED.items():
        terminalreporter.write_line(f"{rate:6.1f}  {name}")


@pytest.fixture(scope="session")
def cluster():
    """A cluster that runs pods, with nothing of the platform in it."""
    started = Cluster()
    started.up()
    yield started
    started.down()


@pytest.fixture(scope="session")
def site(cluster, tmp_path_factory):
    """The example inventory for this cluster, which has the platform's own images. Playbooks know
    the entry's name, and trust its certificate, as a control node of the company would.
    """
    folder = tmp_path_factory.mktemp("enterprise")
    names = folder / "hosts"
    names.write_text(f"127.0.0.1 localhost\n{node.ADDRESS} {PUBLIC_NAME}\n")
    with_names = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')
    trust = {"SSL_CERT_FILE": str(cluster.authority)}
    found = cluster_site.Site(folder, cluster.kubeconfig, (*with_names, str(names)), trust)
    shutil.copytree(HERE / "site", found.inventory, dirs_exist_ok=True)
    certificate, key = cluster.certificate
    shown = {"load_balancer_tls_certificate": str(certificate), "load_balancer_tls_key": str(key)}
    shown["platform_cache_dir"] = str(DOWNLOADS)
    found.write("group_vars/all/certificate.yml", shown)
    bring_images(found, cluster, set())
    return found


def bring_images(site: cluster_site.Site, cluster: Cluster, known: set[str]) -> None:
    """Give the node the images that the inventory needs, but for those that it has."""
    site.run("render.yml")
    bundle = Bundle(str(BUNDLE))
    for reference in sorted({*IMAGE.findall("".join(site.files().values()))} - known):
        cluster.import_images(bundle.archive(reference)[0])


@pytest.fixture
def put_into_cluster(site, cluster):
    """Return a function that adds a service to the inventory, with variables, and has its image."""

    def added(group: str, variables: dict) -> None:
        known = {*IMAGE.findall("".join(site.files().values()))}
        site.put_into_cluster(group)
        site.write(f"group_vars/all/with_{group}.yml", variables)
        bring_images(site, cluster, known)

    return added


class Pausing(scripted_api.Handler):
    """Goes on after the first word of a stream when its server says so."""

    def _event(self, data):
        super()._event(data)
        assert self.server.may_go_on.wait(30)


@pytest.fixture(scope="session")
def model(cluster):
    """The API whose model LiteLLM serves, on this machine's address in the cluster's network."""
    server = scripted_api.Server((node.MACHINE, MODEL_PORT), Pausing)
    server.may_go_on = threading.Event()
    server.may_go_on.set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def objects(cluster):
    """Return a function that lists the objects of a kind in the platform's namespace."""

    def listed(kind: str, *words: str) -> list[dict]:
        said = cluster.kubectl(
            "get", kind, "--namespace", cluster_site.NAMESPACE, "--output", "json", *words
        )
        return json.loads(said)["items"]

    return listed


class LiteLLM:
    """LiteLLM as people reach it: through the cluster's entry, by its name and over TLS, with
    a developer's key.
    """

    def __init__(
        self, site: cluster_site.Site, cluster: Cluster, objects: Callable, test: str
    ) -> None:
        self._cluster, self._objects, self._test = cluster, objects, test
        self._trusted = ssl.create_default_context(cafile=str(cluster.authority))
        self._headers = {
            "Authorization": f"Bearer {site.secrets()['key-first-developer']}",
            "Content-Type": "application/json",
        }

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection to the node's port 443, whose DNS name is known to nobody here."""
        connection = http.client.HTTPSConnection(PUBLIC_NAME, timeout=60, context=self._trusted)
        connection._create_connection = lambda _place, *arguments: socket.create_connection(
            (node.ADDRESS, 443), *arguments
        )
        return connection

    def request(self) -> Request:
        asked = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
        return Request("POST", CHAT, json.dumps(asked), self._headers, _problem)

    def hello(self) -> Request:
        """Return what an MCP client sends first."""
        headers = {**self._headers, **TALKS_MCP}
        return Request("POST", "/mcp", json.dumps(INITIALIZE), headers, _unread)

    def answer(self, method: str, path: str, asked: dict | None = None, **headers):
        """Return the answer to one request, which is yet to be read."""
        connection = self.connect()
        body = None if asked is None else json.dumps(asked)
        connection.request(method, path, body, {**self._headers, **headers})
        return connection.getresponse()

    def pods(self) -> set[str]:
        """Return the names of the pods that serve, once there are as many as there must be."""
        two = ("--for=jsonpath={.status.readyReplicas}=2", "deployment/litellm", "--timeout=300s")
        self._cluster.kubectl("wait", "--namespace", cluster_site.NAMESPACE, *two, seconds=310)
        listed = self._objects("pods", "--selector", "app.kubernetes.io/name=litellm")
        return {one["metadata"]["name"] for one in listed if not is_ending(one)}

    def wait_until_it_answers(self) -> None:
        """Wait for an entry that has changed, of which its controller has yet to hear."""
        request, ends_at = self.request(), time.monotonic() + 60
        while self.answer(request.method, request.path, json.loads(request.body)).status != 200:
            assert time.monotonic() < ends_at, "no answer within a minute"
            time.sleep(1)

    def problems_during(self, action: Callable) -> list[str]:
        """Return what went wrong with requests (20 at least) while something was done, under the
        load of the standard tier's faults, as far as the machine carries it.
        """
        problems: list[str] = []
        ends: list[float] = []
        answered = threading.Semaphore(0)

        def record(_began, ended, problem):
            problems.extend([problem] if problem else [])
            ends.append(ended)
            answered.release()

        load, began = PersistentClients(self.connect, self.request, record), time.monotonic()
        load.start()
        try:
            action()
            for _ in range(20):
                assert answered.acquire(timeout=60), "no answer within a minute"
        finally:
            load.stop()
        REACHED[self._test] = len(ends) / (max(ends) - began)
        return problems


def is_ending(pod: dict) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _unread(_answer: http.client.HTTPResponse) -> str:
    return ""


def _problem(answer: http.client.HTTPResponse) -> str:
    body = answer.read()
    return "" if answer.status == 200 and b"One two three." in body else f"{answer.status} {body!r}"


@pytest.fixture
def litellm(site, cluster, objects, model, request):
    return LiteLLM(site, cluster, objects, request.node.name)


class Provider(NamedTuple):
    """The company's provider of identities, and its authority."""

    program: gateway_lab.Program
    issuer: str
    authority: Path


@pytest.fixture(scope="session")
def provider(cluster, tmp_path_factory):
    """A provider on this machine's address in the cluster's network, over TLS."""
    folder = tmp_path_factory.mktemp("provider")
    company = identity_provider.company(folder, node.MACHINE)
    callback = f"https://{PUBLIC_NAME}/portal/callback"
    at = (PROVIDER_PORT, node.MACHINE, company)
    with identity_provider.identity_provider(folder, [callback], *at) as running:
        yield Provider(running.program, running.issuer, company.ca)


@pytest.fixture
def visit(site, cluster, provider):
    """Return a function that has somebody sign in at the portal, and open pages there."""
    python = gateway_lab.python_environment("portal", PORTAL_LOCK)

    def visited(name: str, *pages: str) -> dict:
        trusted = {"AUTHORITIES": f"{cluster.authority}:{provider.authority}"}
        done = subprocess.run(
            [*site.within, python, VISITOR, f"https://{PUBLIC_NAME}", name, *pages],
            env={**os.environ, **trusted},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return visited


@pytest.fixture
def reached(cluster, objects, model):
    """Return a function that names the services, and other places, that a pod connects to."""
    services = {
        f"{one['spec']['clusterIP']}:{one['spec']['ports'][0]['port']}": one["metadata"]["name"]
        for one in objects("services")
        if one["spec"]["clusterIP"] != "None"
    }

    def connected(pod: str, namespace: str, *places: str) -> set[str]:
        program = ("exec", "--namespace", namespace, pod, "--", "python3", "-c", TRY)
        said = cluster.kubectl(*program, *services, *places)
        own = pod.partition("/")[2]
        return {services.get(place, place) for place in said.split()} - {own}

    with contextlib.ExitStack() as listeners:
        for port in (TOOL_PORT, OTHER_PORT):
            listeners.enter_context(socket.create_server((node.MACHINE, port)))
        yield connected


@pytest.fixture
def other_pod(cluster, objects):
    """Return a function that starts a pod of somebody else in a namespace of theirs."""
    (tool,) = objects("pods", "--selector", "app.kubernetes.io/name=tool-example")
    image, made = tool["spec"]["containers"][0]["image"], []

    def started(namespace: str) -> None:
        made.append(namespace)
        where = ("--namespace", namespace)
        cluster.kubectl("run", "other", *where, f"--image={image}", "--command", "sleep", "600")
        cluster.kubectl("wait", *where, "--for=condition=Ready", "pod/other", "--timeout=60s")

    yield started
    for namespace in made:
        cluster.kubectl("delete", "pod", "other", "--namespace", namespace, "--now")


@pytest.fixture
def load(litellm):
    """Return a context of many requests to a service, which may fail."""

    @contextlib.contextmanager
    def requests(name: str):
        request, per_second = {
            "gateway": (litellm.hello, 60),
            "litellm": (litellm.request, 30),
        }[name]
        clients = PersistentClients(
            litellm.connect, request, lambda *_: None, clients=8, per_second=per_second
        )
        clients.start()
        try:
            yield
        finally:
            clients.stop()

    return requests
