# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import socket
import threading
import time

import fake_kubernetes
import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import NotReady
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import kubeconfig
from ansible_collections.intranet.mcp.plugins.modules import kubernetes_forward

OF_LITELLM = {"namespace": "llm", "service": "litellm", "port": 4000}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@pytest.fixture
def cluster(tmp_path):
    found = fake_kubernetes.FakeCluster()
    found.path = found.kubeconfig(tmp_path / "kubeconfig")
    yield found
    found.close()


def test_its_port_is_told_and_closed_when_the_file_is_gone(cluster, run_module, tmp_path):
    place, found = tmp_path / "port", []

    def forward():
        given = {"kubeconfig": cluster.path, **OF_LITELLM}
        found.append(run_module("kubernetes_forward", place=str(place), **given))

    running = threading.Thread(target=forward)
    running.start()
    ends_at = time.monotonic() + 20
    while not place.exists() and time.monotonic() < ends_at:
        time.sleep(0.05)  # a file is no event
    port = int(place.read_text())
    # Nobody is behind it: the connection ends, and the port goes on.
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            assert connection.recv(1) == b""
    place.unlink()
    running.join(20)
    assert found[0]["port"] == port and not found[0]["changed"]


def test_it_ends_by_itself(cluster, run_module, tmp_path):
    given = {"kubeconfig": cluster.path, **OF_LITELLM}
    assert run_module("kubernetes_forward", place=str(tmp_path / "port"), seconds=0, **given)[
        "port"
    ]


def test_a_pod_that_is_named_need_not_be_ready(cluster, monkeypatch):
    asked = []
    monkeypatch.setattr(kubernetes_forward, "Channel", lambda *place: asked.append(place[1:]))
    given = {"namespace": "llm", "service": None, "pod": "ollama-0", "port": 11434}
    kubernetes_forward.Pods(kubeconfig.read(cluster.path), given).connect()
    assert asked == [("llm", "ollama-0", 11434)]


def test_pods_that_are_ready_take_turns(cluster, monkeypatch):
    asked = []
    monkeypatch.setattr(kubernetes_forward, "Channel", lambda *place: asked.append(place[2:]))
    access = kubeconfig.read(cluster.path)
    pods = kubernetes_forward.Pods(access, {**OF_LITELLM, "pod": None})
    with pytest.raises(NotReady, match="no pod of litellm is ready in namespace llm"):
        pods.connect()
    cluster.pods = [
        {"metadata": {"name": "b"}, "status": READY},
        {"metadata": {"name": "a"}, "status": READY},
        {"metadata": {"name": "c"}, "status": {}},
        {"metadata": {"name": "d", "deletionTimestamp": "now"}, "status": READY},
    ]
    for _ in range(2):
        pods.connect()
    assert sorted(asked) == [("a", 4000), ("b", 4000)]
