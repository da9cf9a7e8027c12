# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import copy
import json

import fake_kubernetes
import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import objects
from clusters import ENTRY, OPERATOR, definition, target

TO = target(with_secrets=True)
SHARED = objects.of_platform(TO, ENTRY)
MADE = ["Namespace llm", "NetworkPolicy default-deny", "Ingress entry", "PrometheusRule alerts"]


def of(name, **changes):
    return objects.of_owner([definition(name, **changes)], name, TO)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # the fake rolls out at once or never
    found = fake_kubernetes.FakeCluster()
    found.path = found.kubeconfig(tmp_path / "kubeconfig")
    yield found
    found.close()


@pytest.fixture
def apply(cluster, run_module):
    def run(owner, wanted, **options):
        given = {"kubeconfig": cluster.path, "namespace": "llm", "wait_seconds": 1, **options}
        whose = {"owner": owner, "objects": copy.deepcopy(wanted)} if owner else {}
        return run_module("kubernetes_objects", **whose, **given)

    return run


@pytest.fixture
def with_namespace(apply):
    assert apply("platform", SHARED)["changed"]


def test_everything_is_made_in_the_order_in_which_it_is_needed(cluster, apply):
    result = apply("platform", SHARED)
    assert result["created"] == MADE
    assert result["changed"] and cluster.names() == sorted(result["created"])
    result = apply("gateway", of("gateway"))
    assert result["created"][-1] == "ServiceMonitor gateway"
    order = [call for call in cluster.changes() if "/namespaces/llm/" in call]
    assert order.index(f"PATCH {place('secrets', 'gateway-secrets')}") < order.index(
        f"PATCH {place('deployments', 'gateway', 'apis/apps/v1')}"
    )


def place(plural, name, root="api/v1"):
    return f"/{root}/namespaces/llm/{plural}/{name}"


def test_a_second_run_changes_nothing(with_namespace, cluster, apply):
    apply("gateway", of("gateway"))
    before = copy.deepcopy(cluster.objects)
    result = apply("gateway", of("gateway"))
    assert not result["changed"] and result["diff"] == []
    for path, found in cluster.objects.items():
        assert found["metadata"]["generation"] == before[path]["metadata"]["generation"]


def test_check_mode_on_an_empty_cluster_says_that_everything_would_be_made(cluster, apply):
    result = apply("platform", SHARED, check=True)
    assert result["created"] == MADE
    assert len(apply("redis", of("redis"), check=True)["created"]) == len(of("redis"))
    assert cluster.objects == {} and cluster.changes() == []


def test_check_mode_asks_the_cluster_what_would_be(with_namespace, cluster, apply):
    apply("gateway", of("gateway"))
    done = cluster.changes()
    result = apply("gateway", of("gateway", memory_mb=512), check=True)
    assert result["updated"] == ["Deployment gateway"]
    assert cluster.changes() == done
    assert apply("gateway", of("gateway", memory_mb=512))["updated"] == ["Deployment gateway"]


def test_the_difference_has_what_changed_and_nothing_of_the_clusters_own(with_namespace, apply):
    apply("redis", of("redis"))
    (diff,) = apply("redis", of("redis", memory_mb=512))["diff"]
    assert diff["before_header"] == "StatefulSet redis"
    text = json.dumps(diff)
    assert "384Mi" in text and "512Mi" in text
    for own in ("managedFields", "resourceVersion", "generation", "uid", "serviceName", "status"):
        assert own not in text


def test_what_is_no_longer_listed_is_removed_after_the_rollout(with_namespace, cluster, apply):
    apply("litellm", of("litellm"))
    old = [name for name in cluster.names() if "litellm-config" in name or "Job " in name]
    result = apply("litellm", of("litellm", files={"config.yaml": "model_list: [new]\n"}))
    assert sorted(result["removed"]) == old
    assert len([name for name in cluster.names() if "litellm-config" in name]) == 1
    calls = cluster.changes()
    assert all(call.startswith("DELETE") for call in calls[-2:])
    assert not [call for call in calls[:-2] if "DELETE" in call]


def test_a_job_ends_before_what_is_listed_after_it_is_applied(with_namespace, cluster, apply):
    result = apply("litellm", of("litellm"))
    (job,) = [name for name in result["created"] if name.startswith("Job ")]
    calls = [f"{method} {path}" for method, path, _query in cluster.calls]
    place_of_job = place("jobs", job.removeprefix("Job "), "apis/batch/v1")
    deployed = calls.index(f"PATCH {place('deployments', 'litellm', 'apis/apps/v1')}")
    asked = [n for n, call in enumerate(calls) if call == f"GET {place_of_job}"]
    assert calls.index(f"PATCH {place_of_job}") < asked[-1] < deployed
    assert not apply("litellm", of("litellm"))["changed"]


OPERATED = target(with_secrets=True, said={"postgres": OPERATOR})


def test_jobs_that_fill_the_claims_of_several_pods_run_at_the_same_time(
    with_namespace, cluster, apply
):
    two = target(with_secrets=True, said={"replicas": {"ollama": 2}})
    wanted = objects.of_owner([definition("ollama")], "ollama", two)
    jobs = [one["metadata"]["name"] for one in wanted if one["kind"] == "Job"]
    cluster.stuck |= {name: {"active": 1} for name in jobs}
    assert "it has not ended" in apply("ollama", wanted)["error"]["found"]
    assert {f"Job {name}" for name in jobs} <= {*cluster.names()}
    assert "StatefulSet ollama" not in cluster.names()


def test_a_kind_that_nothing_has_brought_is_refused_before_anything_changes(
    with_namespace, cluster, apply
):
    database = objects.of_owner([definition("postgres")], "postgres", OPERATED)
    cluster.lacks = {"Cluster"}
    before = copy.deepcopy(cluster.objects)
    result = apply("postgres", database)
    assert result["failed"] and result["error"]["reason"] == "unknown"
    assert "the cluster has no Cluster of postgresql.cnpg.io/v1" in result["msg"]
    assert "the operator CloudNativePG" in result["msg"]
    assert cluster.objects == before


def test_a_database_of_an_operator_is_waited_for_and_never_removed(with_namespace, cluster, apply):
    database = objects.of_owner([definition("postgres")], "postgres", OPERATED)
    cluster.stuck["postgres"] = {"readyInstances": 0, "phase": "Setting up primary"}
    result = apply("postgres", database)
    assert result["failed"] and "Setting up primary" in result["msg"]
    del cluster.stuck["postgres"]
    assert not apply("postgres", database)["changed"]
    result = apply("postgres", [])
    # Its claims would go with it.
    assert sorted(result["removed"]) == ["NetworkPolicy postgres", "Secret postgres-app"]
    assert "Cluster postgres" in cluster.names()


FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}


def test_a_job_that_fails_leaves_the_version_of_before(with_namespace, cluster, apply):
    apply("litellm", of("litellm"))
    before = copy.deepcopy(cluster.objects[place("deployments", "litellm", "apis/apps/v1")])
    wanted = of("litellm", image="litellm:new")
    (job,) = [one["metadata"]["name"] for one in wanted if one["kind"] == "Job"]
    cluster.stuck[job] = FAILED
    ended = {"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    cluster.pods = [{"metadata": {"name": f"{job}-1"}, "status": {"containerStatuses": [ended]}}]
    cluster.logs[f"{job}-1"] = "migration '2026' failed"
    result = apply("litellm", wanted)
    assert result["failed"] and f"Job {job}: it failed (BackoffLimitExceeded)" in result["msg"]
    assert "ended with 1 (Error)" in result["msg"] and "migration '2026' failed" in result["msg"]
    after = cluster.objects[place("deployments", "litellm", "apis/apps/v1")]
    assert after["spec"] == before["spec"]
    assert len([name for name in cluster.names() if name.startswith("Job ")]) == 2


def test_a_job_that_failed_runs_again(with_namespace, cluster, apply):
    wanted = of("litellm")
    (job,) = [one["metadata"]["name"] for one in wanted if one["kind"] == "Job"]
    cluster.stuck[job] = FAILED
    assert apply("litellm", wanted)["failed"]
    assert f"Job {job}" in apply("litellm", wanted, check=True)["created"]
    result = apply("litellm", wanted)
    assert not result["failed"] and f"Job {job}" in result["created"]
    assert f"DELETE {place('jobs', job, 'apis/batch/v1')}" in cluster.changes()


def test_other_owners_and_other_peoples_objects_stay(with_namespace, cluster, apply):
    apply("redis", of("redis"))
    apply("postgres", of("postgres"))
    foreign = copy.deepcopy(cluster.objects[place("services", "redis")])
    foreign["metadata"] |= {"name": "foreign", "labels": {"intranet.mcp.owner": "redis"}}
    cluster.objects[place("services", "foreign")] = foreign
    before = cluster.names()
    result = apply("redis", [])
    assert result["removed"] and set(result["removed"]) == set(before) - set(cluster.names())
    assert all(name.split()[1].startswith("redis") for name in result["removed"])
    assert "Service foreign" in cluster.names() and "StatefulSet postgres" in cluster.names()


def test_services_that_are_no_longer_there_lose_everything(with_namespace, cluster, apply):
    for name in ("redis", "postgres"):
        apply(name, of(name))
    result = apply("", [], except_owners=["platform", "postgres"])
    assert sorted({name.split()[1] for name in result["removed"]}) == ["redis", "redis-secrets"]
    assert not apply("", [], except_owners=["platform", "postgres"])["changed"]
    assert {"Namespace llm", "Ingress entry", "StatefulSet postgres"} <= {*cluster.names()}


def test_kinds_that_an_account_may_not_see_are_none_of_its_objects(with_namespace, cluster, apply):
    """RBAC says so of kinds that a cluster has not, too, such as those of a Prometheus operator."""
    for plural, group in (
        ("servicemonitors", "monitoring.coreos.com/v1"),
        ("deployments", "apps/v1"),
    ):
        cluster.refuses[place(plural, "", f"apis/{group}").rstrip("/")] = (403, "forbidden")
    assert not apply("redis", of("redis")).get("failed")
    cluster.refuses[place("statefulsets", "", "apis/apps/v1").rstrip("/")] = (403, "forbidden")
    assert apply("redis", of("redis"))["error"]["reason"] == "unauthorized"


def test_the_end_of_a_platform(with_namespace, cluster, apply):
    apply("redis", of("redis"))
    kept = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data-redis-0"}}
    cluster.objects[place("persistentvolumeclaims", "data-redis-0")] = kept
    assert apply("", [], except_owners=[], check=True)["changed"]
    assert apply("", [], except_owners=[])["changed"]
    assert cluster.names() == ["Namespace llm", "PersistentVolumeClaim data-redis-0"]
    result = apply("", [], except_owners=[], remove_namespace=True, check=True)
    assert result["removed"] == ["Namespace llm"] and "Namespace llm" in cluster.names()
    assert apply("", [], except_owners=[], remove_namespace=True)["removed"] == ["Namespace llm"]
    assert not apply("", [], except_owners=[], remove_namespace=True)["changed"]


def test_a_namespace_of_others_is_left_to_them(with_namespace, cluster, apply):
    path = "/api/v1/namespaces/llm"
    cluster.objects[path]["metadata"]["labels"].pop("app.kubernetes.io/managed-by")
    result = apply("", [], except_owners=[], remove_namespace=True)
    assert result["error"]["reason"] == "refused" and path in cluster.objects


def test_a_namespace_that_does_not_end_is_not_waited_for_forever(with_namespace, cluster, apply):
    cluster.keeps.add("/api/v1/namespaces/llm")
    result = apply("", [], except_owners=["platform"], remove_namespace=True, wait_seconds=0)
    assert "namespace llm is still there after 0 s" in result["msg"]


def test_whose_objects_are_meant_has_to_be_said(apply):
    assert "one of the following is required" in apply("", [])["msg"]
    assert "mutually exclusive" in apply("redis", [], except_owners=["redis"])["msg"]


def test_an_autoscaler_begins_with_the_pods_that_are_there(with_namespace, cluster, apply):
    """A number that nobody applies any more would go back to one pod."""
    path = place("deployments", "litellm", "apis/apps/v1")
    apply("litellm", of("litellm"))
    assert cluster.objects[path]["spec"]["replicas"] == 2
    scaled = of("litellm")
    for one in scaled:
        one.get("spec", {}).pop("replicas", None)
    assert not apply("litellm", scaled, check=True)["changed"]
    assert not apply("litellm", scaled)["changed"]
    assert cluster.objects[path]["spec"]["replicas"] == 2
    cluster.objects[path]["spec"]["replicas"] = 4  # the autoscaler
    assert not apply("litellm", scaled)["changed"]
    assert cluster.objects[path]["spec"]["replicas"] == 4


def test_a_rollout_that_fails_is_explained_and_nothing_is_removed(with_namespace, cluster, apply):
    apply("litellm", of("litellm"))
    before = [name for name in cluster.names() if "litellm-config" in name]
    cluster.stuck["litellm"] = {"updatedReplicas": 1, "availableReplicas": 2}
    cluster.pods = [
        pod("litellm-old", ready=True),
        pod("litellm-new", waiting=("CrashLoopBackOff", "back-off 40s"), exit_code=1),
        pod("litellm-next", unschedulable="0/3 nodes are available: insufficient memory"),
    ]
    cluster.logs = {"litellm-new": "Traceback\nValueError: no database"}
    result = apply("litellm", of("litellm", files={"config.yaml": "broken\n"}), wait_seconds=0)
    assert result["failed"] and result["error"]["reason"] == "timed_out"
    for said in (
        "Deployment litellm: 1 of 2 pods are new",
        "pod litellm-new: CrashLoopBackOff: back-off 40s: ended with 1 (Error)",
        "ValueError: no database",
        "pod litellm-next: no node takes it: 0/3 nodes are available: insufficient memory",
    ):
        assert said in result["msg"]
    assert "litellm-old" not in result["msg"]
    assert set(before) <= set(cluster.names())


def pod(name, ready=False, waiting=(), exit_code=None, unschedulable=""):
    conditions = [{"type": "Ready", "status": str(ready)}]
    if unschedulable:
        scheduled = {"type": "PodScheduled", "status": "False", "message": unschedulable}
        conditions.append(scheduled)
    container = {}
    if waiting:
        container["state"] = {"waiting": dict(zip(("reason", "message"), waiting, strict=True))}
    if exit_code is not None:
        container["lastState"] = {"terminated": {"exitCode": exit_code, "reason": "Error"}}
    status = {"conditions": conditions, "containerStatuses": [container]}
    return {"metadata": {"name": name}, "status": status}


def test_who_brings_something_to_pods_before_they_are_ready_does_not_wait_for_them(
    with_namespace, cluster, apply
):
    apply("ollama", of("ollama"))
    files = {**definition("ollama")["files"], "ready.sh": "other\n"}
    cluster.stuck["ollama"] = {"readyReplicas": 0}
    result = apply("ollama", of("ollama", files=files), wait_for_rollouts=False)
    assert "StatefulSet ollama" in result["updated"] and result["removed"] == []
    cluster.stuck.clear()
    result = apply("ollama", of("ollama", files=files))
    # Pods of before needed it as long as they were there.
    assert any(name.startswith("ConfigMap ollama-config-") for name in result["removed"])


def test_a_controller_that_gave_up_is_not_waited_for(with_namespace, cluster, apply):
    reason = {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}
    cluster.stuck["litellm"] = {"availableReplicas": 0, "conditions": [reason]}
    result = apply("litellm", of("litellm"), wait_seconds=3600)
    assert "0 of 2 pods are ready (no pod says why)" in result["msg"]


def test_no_secret_is_in_a_result(with_namespace, apply):
    first = apply("litellm", of("litellm"))
    changed = of("litellm", secret_env={"DATABASE_URL": "other", "LITELLM_MASTER_KEY": "not-told"})
    second = apply("litellm", changed)
    assert "Secret litellm-secrets" in second["updated"]
    told = json.dumps([first, second])
    for value in ("not-told", "bm90LXRvbGQ", "postgresql://"):
        assert value not in told
    (diff,) = [d for d in second["diff"] if d["after_header"] == "Secret litellm-secrets"]
    assert diff["before"] == {"data": {"DATABASE_URL": "(hidden)"}}
    assert diff["after"] == {"data": {"DATABASE_URL": "(hidden, changed)"}}


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "unauthorized"), (404, "unknown"), (422, "refused"), (503, "not_ready"), (302, "unexp")],
)
def test_what_the_cluster_does_not_take_is_said_as_it_says_it(
    with_namespace, cluster, apply, status, reason
):
    cluster.refuses[place("services", "redis")] = (status, "field is immutable")
    result = apply("redis", of("redis"))
    assert result["failed"] and result["error"]["reason"].startswith(reason)
    assert "apply Service redis (field is immutable)" in result["msg"]


def test_wrong_credentials_are_one_message(cluster, apply, tmp_path):
    path = cluster.kubeconfig(tmp_path / "other", token="wrong")
    result = apply("redis", of("redis"), kubeconfig=path)
    assert result["error"]["reason"] == "unauthorized" and "401" in result["msg"]


@pytest.mark.parametrize(
    "change", [{"kind": "Pod"}, {"apiVersion": "apps/v1beta1"}, {"metadata": {"name": "x"}}]
)
def test_an_object_of_another_kind_is_refused_before_anything_is_applied(cluster, apply, change):
    wanted = [{**SHARED[0]}, {**of("redis")[-1], **change}]
    result = apply("redis", wanted)
    assert result["error"]["reason"] == "refused" and cluster.objects == {}


def test_a_kubeconfig_that_is_not_there_is_one_message(apply):
    result = apply("redis", [], kubeconfig="/nowhere/config")
    assert result["failed"] and "the kubeconfig /nowhere/config cannot be read" in result["msg"]
