# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One cluster for all tests of the lane, and the example inventory fitted to it."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "integration" / "pytest"), str(HERE)]

import support  # noqa: E402

support.make_collection_importable()

import cluster_site  # noqa: E402
import node  # noqa: E402
from ansible_collections.intranet.mcp.plugins.module_utils.images.bundle import Bundle  # noqa: E402
from cluster import Cluster  # noqa: E402
from persistent import PersistentClients, Request  # noqa: E402
from servers import scripted_api  # noqa: E402

BUNDLE = support.REPOSITORY / ".cache" / "bundle"
IMAGE = re.compile(r"^ *image: (\S+)$", re.MULTILINE)


@pytest.fixture(scope="session")
def cluster():
    """A cluster that runs pods, with nothing of the platform in it."""
    started = Cluster()
    started.up()
    yield started
    started.down()


@pytest.fixture(scope="session")
def site(cluster, tmp_path_factory):
    """The example inventory for this cluster, which has the platform's own images."""
    found = cluster_site.Site(tmp_path_factory.mktemp("enterprise"), cluster.kubeconfig)
    shutil.copytree(HERE / "site", found.inventory, dirs_exist_ok=True)
    found.run("render.yml")
    bundle = Bundle(str(BUNDLE))
    for reference in sorted({*IMAGE.findall("".join(found.files().values()))}):
        cluster.import_images(bundle.archive(reference)[0])
    return found


@pytest.fixture(scope="session")
def model(cluster):
    """The API whose model LiteLLM serves, on this machine's address in the cluster's network."""
    server = scripted_api.Server((node.MACHINE, 8000), scripted_api.Handler)
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
    """LiteLLM at its Service's address, as this machine reaches it, with the master key."""

    def __init__(self, site: cluster_site.Site, cluster: Cluster, objects: Callable) -> None:
        self._cluster, self._objects = cluster, objects
        (service,) = objects("services", "--selector", "app.kubernetes.io/name=litellm")
        self._address = (service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"])
        self._headers = {
            "Authorization": f"Bearer {site.secrets()['litellm_master_key']}",
            "Content-Type": "application/json",
        }

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self._address, timeout=60)

    def request(self) -> Request:
        asked = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
        path = "/v1/chat/completions"
        return Request("POST", path, json.dumps(asked), self._headers, _problem)

    def pods(self) -> set[str]:
        """Return the ids of the pods that serve, once there are as many as there must be."""
        two = ("--for=jsonpath={.status.readyReplicas}=2", "deployment/litellm", "--timeout=300s")
        self._cluster.kubectl("wait", "--namespace", cluster_site.NAMESPACE, *two, seconds=310)
        listed = self._objects("pods", "--selector", "app.kubernetes.io/name=litellm")
        return {one["metadata"]["uid"] for one in listed if not is_ending(one)}

    def problems_during(self, action: Callable) -> list[str]:
        """Return what went wrong with requests (20 at least) while something was done."""
        problems: list[str] = []
        answered = threading.Semaphore(0)

        def record(_began, _ended, problem):
            problems.extend([problem] if problem else [])
            answered.release()

        load = PersistentClients(self.connect, self.request, record, clients=4, per_second=4)
        load.start()
        try:
            action()
            for _ in range(20):
                assert answered.acquire(timeout=60), "no answer within a minute"
        finally:
            load.stop()
        return problems


def is_ending(pod: dict) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _problem(answer: http.client.HTTPResponse) -> str:
    body = answer.read()
    return "" if answer.status == 200 and b"One two three." in body else f"{answer.status} {body!r}"


@pytest.fixture
def litellm(site, cluster, objects, model):
    return LiteLLM(site, cluster, objects)
