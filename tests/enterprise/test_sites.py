# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Two sites, each a namespace of one cluster: LiteLLM and its database, and nothing else.

Pods may not connect to the cluster's own nodes, where the entry of the other site is. They meet it
on this machine, as they would meet it on the company's network.
"""

from __future__ import annotations

import concurrent.futures
import http.client
import http.server
import json
import secrets
import shutil
import socket
import ssl
import threading

import cluster_site
import node
import pytest
from cluster import SITE_NAMES
from conftest import CHAT
from servers import scripted_api

NEAR, FAR = SITE_NAMES
# On this machine: the model of each site, and the way to each site.
MODEL_PORTS = {NEAR: 8003, FAR: 8004}
WAY_PORTS = {NEAR: 8443, FAR: 8444}
ASKED = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]})
# Keys that both sites are to have, as files that were copied from one to the other.
KEYS = ("key-first-developer", "key-other-sites")
TAGS = ("--tags", "data,litellm,teams")
HERE = {
    "ansible_connection": "local",
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    "ansible_become": False,
}
CLUSTER = {
    "kubernetes_networks": {
        "pods": ["10.244.0.0/16"],
        "services": ["10.96.0.0/16"],
        "nodes": [f"{node.ADDRESS}/32"],
    },
    "kubernetes_replicas": {"litellm": 1},
    "kubernetes_autoscaling": {},
    "kubernetes_cpu": {"litellm": "100m", "postgres": "50m"},
    "kubernetes_volumes": {
        "postgres": {"data": {"size": "1Gi"}},
        "gateway": {"audit": {"scratch": "1Gi"}},
    },
    "kubernetes_ingress": {
        **{"kind": "ingress", "class": "traefik", "controller": "traefik", "namespace": "traefik"}
    },
    "kubernetes_metrics": {"kind": "none"},
}


class Model(scripted_api.Handler):
    """Counts who was asked."""

    def do_POST(self):
        self.server.asked += 1
        super().do_POST()


class Way(http.server.BaseHTTPRequestHandler):
    """Passes requests on to the entry of a site, under that site's name."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        pass

    def do_POST(self):
        self.server.asked += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        names = ("Authorization", "Content-Type")
        headers = {name: self.headers[name] for name in names if self.headers[name]}
        status, answer = ask(self.server.site, self.server.trusted, self.path, body, headers)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def ask(site, trusted, path, body, headers):
    """Return what a site answers at the cluster's entry, whose name no DNS has."""
    connection = http.client.HTTPSConnection(site, timeout=120, context=trusted)
    connection._create_connection = lambda _place, *more: socket.create_connection(
        (node.ADDRESS, 443), *more
    )
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def serve(handler, port):
    server = scripted_api.Server((node.MACHINE, port), handler)
    server.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Sites:
    """Both sites, their models, and the ways between them."""

    def __init__(self, cluster, folder) -> None:
        self.key = f"sk-{secrets.token_hex(16)}"
        self._cluster = cluster
        self._trusted = ssl.create_default_context(cafile=str(cluster.authority))
        self._models = {}
        self.ways = {name: self._way(name) for name in SITE_NAMES}
        shared = dict(zip(KEYS, (self.key, f"sk-{secrets.token_hex(16)}"), strict=True))
        self._inventories = {
            name: self._inventory(folder / name, name, other, shared)
            for name, other in ((NEAR, FAR), (FAR, NEAR))
        }

    def deploy(self) -> None:
        """Deploy both at once: most of it is waiting for pods."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            runs = [
                pool.submit(found.run, "site.yml", *TAGS, seconds=900)
                for found in self._inventories.values()
            ]
            for run in runs:
                run.result()

    def _way(self, name):
        server = serve(Way, WAY_PORTS[name])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._cluster.of_sites)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.site, server.trusted = name, self._trusted
        return server

    def _inventory(self, folder, name, other, shared):
        folder.mkdir()
        found = cluster_site.Site(folder, self._cluster.kubeconfig)
        shutil.rmtree(found.inventory / "group_vars")
        for group in ("all", "kubernetes"):
            (found.inventory / "group_vars" / group).mkdir(parents=True)
        inside = {"hosts": {"cluster": {}}}
        empty = ("load_balancer", "tool_servers", "redis", "ollama", "monitoring", "portal")
        groups = {
            **dict.fromkeys(("kubernetes", "postgres", "litellm", "gateway"), inside),
            **{group: {} for group in empty},
        }
        hosts = {"all": {"hosts": {"cluster": HERE}, "children": groups}}
        found.write("hosts.yml", hosts)
        certificate, key = self._cluster.of_sites
        said = {
            "platform_public_name": name,
            "platform_ca_bundle": str(self._cluster.authority),
            "load_balancer_tls_certificate": str(certificate),
            "load_balancer_tls_key": str(key),
            "image_registry_prefix": "",
            "mcp_servers": {s: {"enabled": False} for s in ("filesystem", "browser", "example")},
            "litellm_custom_apis": [
                {
                    **{"model_name": "scripted", "model": "scripted"},
                    "api_base": f"http://{node.MACHINE}:{MODEL_PORTS[name]}/v1",
                }
            ],
            "litellm_sites": [
                {"name": other, "url": f"https://{node.MACHINE}:{WAY_PORTS[other]}"},
            ],
        }
        found.write("group_vars/all/site.yml", said)
        found.write("group_vars/kubernetes/site.yml", {**CLUSTER, **_namespace(name)})
        place = found.inventory / ".intranet-mcp" / "secrets"
        place.mkdir(parents=True, mode=0o700)
        for secret, value in shared.items():
            (place / secret).touch(0o600)
            (place / secret).write_text(value)
        return found

    def start(self, name: str) -> None:
        """Start the model server of a site."""
        self._models[name] = serve(Model, MODEL_PORTS[name])

    def stop(self, name: str) -> None:
        """Stop it."""
        server = self._models.pop(name)
        server.shutdown()
        server.server_close()

    def asked_models(self) -> dict[str, int]:
        return {name: server.asked for name, server in self._models.items()}

    def asked_ways(self) -> dict[str, int]:
        return {name: server.asked for name, server in self.ways.items()}

    def ask(self, name: str) -> tuple[int, bytes]:
        """Ask a site for its model, as a developer does."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        return ask(name, self._trusted, CHAT, ASKED, headers)

    def remove(self) -> None:
        for name in [*self._models]:
            self.stop(name)
        for server in self.ways.values():
            server.shutdown()
            server.server_close()
        for name in SITE_NAMES:
            namespace = _namespace(name)["kubernetes_namespace"]
            gone = ("delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s")
            self._cluster.kubectl(*gone, seconds=130)


def _namespace(name):
    return {"kubernetes_namespace": f"intranet-mcp-{name.partition('.')[0]}"}


@pytest.fixture(scope="module")
def sites(cluster, site, tmp_path_factory):
    """Both, deployed. `site` has given the node their images."""
    made = Sites(cluster, tmp_path_factory.mktemp("sites"))
    try:
        made.deploy()
        yield made
    finally:
        made.remove()


@pytest.fixture
def models(sites):
    """The model servers of both sites."""
    for name in SITE_NAMES:
        sites.start(name)
    yield
    for name in [*sites.asked_models()]:
        sites.stop(name)


def test_a_key_is_valid_at_both_sites_and_each_asks_its_own_servers(sites, models):
    before = sites.asked_ways()
    for name in SITE_NAMES:
        status, answer = sites.ask(name)
        assert status == 200 and b"One two three." in answer, answer
    assert sites.asked_models() == dict.fromkeys(SITE_NAMES, 1)
    assert sites.asked_ways() == before


def test_the_other_site_answers_where_no_server_of_this_one_does(sites, models):
    sites.stop(NEAR)
    before = sites.asked_ways()
    status, answer = sites.ask(NEAR)
    assert status == 200 and b"One two three." in answer, answer
    assert sites.asked_models() == {FAR: 1}
    assert sites.asked_ways() == {**before, FAR: before[FAR] + 1}


def test_what_came_from_another_site_is_not_sent_on(sites):
    """No server of either site answers."""
    before = sites.asked_ways()
    status, answer = sites.ask(NEAR)
    assert status >= 400, answer
    after = sites.asked_ways()
    assert after[FAR] > before[FAR], "the other site was asked"
    assert after[NEAR] == before[NEAR], "which did not ask back"
