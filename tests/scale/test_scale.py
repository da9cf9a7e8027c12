# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The enterprise tier on 500 nodes: where its pods go, how they scale, and who may drain them.

Nodes and pods are simulated; what decides about them is real. The tests are a sequence: each begins
with what those above it left.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections import Counter

import pytest
from cluster_site import NAMESPACE, changes
from simulation import GPU_RESOURCE, NODES, ZONES

IN = ("--namespace", NAMESPACE)
NAME, ZONE = "app.kubernetes.io/name", "topology.kubernetes.io/zone"
KINDS = (
    "deployments,statefulsets,services,configmaps,secrets,serviceaccounts,networkpolicies,jobs,"
    "ingresses,poddisruptionbudgets,horizontalpodautoscalers,persistentvolumeclaims,"
    "servicemonitors,prometheusrules"
)
# A key needs a LiteLLM that answers.
OBJECTS = ("--skip-tags", "teams,verify")
# What the inventory says: pods at least and at most.
BOUNDS = {"gateway": (12, 40), "litellm": (24, 60)}
ALONE = {"ollama", "postgres", "redis", "tool-browser", "tool-example"}
# For a run of the playbook, and for whatever the cluster does, on a machine with other work.
RUN_SECONDS, SECONDS = 3600, 1800
USES = "kwok.x-k8s.io/usage-cpu"
EVENT = (
    '{.type}{" "}{.object.metadata.labels.app\\.kubernetes\\.io/name}{" "}{.object.metadata.name}'
    '{" "}{.object.status.conditions[?(@.type=="Ready")].status}'
    '{" "}{.object.metadata.deletionTimestamp}{"\\n"}'
)


def serves(pod: dict) -> bool:
    """Whether it runs, is ready, and is not about to end."""
    status = pod["status"]
    ready = {"type": "Ready", "status": "True"}.items()
    is_ready = any(ready <= one.items() for one in status.get("conditions", []))
    return is_ready and status["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]


@pytest.fixture
def serving(objects):
    """Return a function that lists the pods that serve, by service."""

    def listed() -> dict[str, list[dict]]:
        found: dict[str, list[dict]] = {}
        for pod in objects("pods"):
            if serves(pod):
                found.setdefault(pod["metadata"]["labels"][NAME], []).append(pod)
        return found

    return listed


@pytest.fixture(scope="session")
def nodes(cluster):
    listed = json.loads(cluster.kubectl("get", "nodes", "--output", "json"))["items"]
    return {one["metadata"]["name"]: one for one in listed}


@pytest.fixture
def wait_for(cluster, serving):
    """Return a function that waits until services have as many pods as said, and all serve."""

    def waited(wanted: dict[str, int]) -> None:
        def is_so():
            return {name: len(serving().get(name, ())) for name in wanted} == wanted

        cluster.wait(f"pods: {wanted}", is_so, SECONDS)

    return waited


def test_check_mode_on_an_empty_cluster_changes_nothing(site, cluster, figures):
    with figures.measured("site.yml --check"):
        said = site.run("site.yml", *OBJECTS, "--check", seconds=RUN_SECONDS)
    assert "StatefulSet ollama" in said
    assert cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") == ""


def test_every_pod_is_scheduled_and_every_rollout_ends(site, figures, objects, wait_for, serving):
    with figures.measured("... until all pods serve"):
        with figures.measured("site.yml"):
            said = site.run("site.yml", *OBJECTS, seconds=RUN_SECONDS)
        assert changes(said) > 0
        wait_for({name: least for name, (least, _most) in BOUNDS.items()} | dict.fromkeys(ALONE, 1))
    figures.note("nodes", NODES)
    figures.note("objects", len(objects(KINDS)))
    figures.note("pods", sum(map(len, serving().values())))


def test_a_second_run_changes_nothing(site, figures):
    with figures.measured("site.yml again"):
        assert changes(site.run("site.yml", *OBJECTS, seconds=RUN_SECONDS)) == 0


def check_places(serving, nodes):
    """Each pod of a service on a node of its own, as many in each zone, and none beside GPUs that
    it does not ask for.
    """
    for name, pods in serving().items():
        used = [pod["spec"]["nodeName"] for pod in pods]
        assert len(set(used)) == len(used), f"{name}: {Counter(used).most_common(3)}"
        has_gpus = [GPU_RESOURCE in nodes[one]["status"]["allocatable"] for one in used]
        assert all(has_gpus) if name == "ollama" else not any(has_gpus)
        if name in BOUNDS:
            zones = Counter(nodes[one]["metadata"]["labels"][ZONE] for one in used)
            assert {*zones} == {*ZONES}, f"{name}: {zones}"
            assert max(zones.values()) - min(zones.values()) <= 1, f"{name}: {zones}"


def test_pods_are_spread_over_nodes_and_zones(serving, nodes):
    check_places(serving, nodes)


def test_claims_of_a_zone_are_where_their_pods_can_be(objects, serving, nodes):
    """The first to use a claim decides on its zone, and GPUs are in one zone only."""
    assert {one["status"]["phase"] for one in objects("persistentvolumeclaims")} == {"Bound"}
    (pod,) = serving()["ollama"]
    assert GPU_RESOURCE in nodes[pod["spec"]["nodeName"]]["status"]["allocatable"]


def test_autoscalers_go_up_to_their_bounds_and_back(
    cluster, figures, objects, serving, nodes, wait_for
):
    """Pods that use ten times what they ask for, and then nearly nothing."""
    chosen = ("pods", "--selector", f"{NAME} in ({','.join(BOUNDS)})")
    with figures.measured("autoscalers, from least to most"):
        cluster.kubectl("annotate", *IN, *chosen, f"{USES}=20")
        wait_for({name: most for name, (_least, most) in BOUNDS.items()})
    assert reasons(objects) == dict.fromkeys(BOUNDS, "TooManyReplicas")
    check_places(serving, nodes)
    cluster.kubectl("annotate", *IN, *chosen, f"{USES}-")
    wait_for({name: least for name, (least, _most) in BOUNDS.items()})
    cluster.wait(
        "the lower bound", lambda: set(reasons(objects).values()) == {"TooFewReplicas"}, SECONDS
    )


def reasons(objects) -> dict[str, str]:
    """Why each autoscaler does not go further."""
    return {
        one["metadata"]["name"]: condition["reason"]
        for one in objects("horizontalpodautoscalers")
        for condition in one["status"]["conditions"]
        if condition["type"] == "ScalingLimited"
    }


@contextlib.contextmanager
def watched(cluster):
    """Follow the pods of services with several; yields the fewest that served at any time."""
    command = cluster.command(
        *("get", "pods", *IN, "--selector", f"{NAME} in ({','.join(BOUNDS)})"),
        *("--watch", "--output-watch-events", "--output", f"jsonpath={EVENT}"),
    )
    least: dict[str, int] = {}
    begun = threading.Event()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def follow():
            up: dict[str, set[str]] = {name: set() for name in BOUNDS}
            for line in process.stdout:
                kind, name, pod, *state = line.split()
                is_up = kind != "DELETED" and state == ["True"]  # and no time when it ends
                (up[name].add if is_up else up[name].discard)(pod)
                if all(len(up[one]) >= BOUNDS[one][0] for one in BOUNDS):
                    begun.set()
                if begun.is_set():
                    least[name] = min(least.get(name, len(up[name])), len(up[name]))

        follower = threading.Thread(target=follow)
        follower.start()
        assert begun.wait(300), "the watch shows fewer pods than there are"
        try:
            yield least
        finally:
            process.terminate()
            follower.join(60)


def test_nodes_are_drained_with_no_more_than_one_pod_of_a_service_away(
    cluster, figures, serving, nodes, wait_for
):
    """All at once, in a zone, by evictions that its budgets allow or not."""
    used = {
        pod["spec"]["nodeName"]
        for name in BOUNDS
        for pod in serving()[name]
        if nodes[pod["spec"]["nodeName"]]["metadata"]["labels"][ZONE] == ZONES[0]
    }
    drain = ("drain", *sorted(used), "--delete-emptydir-data", "--force", f"--timeout={SECONDS}s")
    with watched(cluster) as least:
        with figures.measured(f"drain of {len(used)} nodes"):
            cluster.kubectl(*drain, seconds=SECONDS + 60)
        wait_for({name: few for name, (few, _most) in BOUNDS.items()})
    assert least == {name: few - 1 for name, (few, _most) in BOUNDS.items()}
    assert not used & {pod["spec"]["nodeName"] for name in BOUNDS for pod in serving()[name]}
    check_places(serving, nodes)


def test_absent_leaves_nothing(site, cluster, figures):
    with figures.measured("absent.yml"):
        site.run("absent.yml", "-e", "absent_data=true", seconds=RUN_SECONDS)
    assert cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") == ""
