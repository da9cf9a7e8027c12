# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What verify says of a cluster: nothing of one that has and runs what the inventory says."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone

import fake_kubernetes
import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probe_cluster
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import kinds
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import files, objects
from clusters import ENTRY, definition, target

TO = target(with_secrets=True)
EVERYTHING = [
    *objects.of_platform(TO, ENTRY),
    *objects.of_owner([definition("gateway")], "gateway", TO),
]
SECRETS = files.secret_keys(EVERYTHING)
WANTED = [found for found in EVERYTHING if found["kind"] != "Secret"]
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@pytest.fixture
def cluster(tmp_path, run_module):
    found = fake_kubernetes.FakeCluster()
    found.path = found.kubeconfig(tmp_path / "kubeconfig")
    given = {"kubeconfig": found.path, "namespace": "llm", "wait_seconds": 1}
    run_module("kubernetes_objects", owner="x", objects=copy.deepcopy(EVERYTHING), **given)
    yield found
    found.close()


@pytest.fixture
def examined(cluster):
    """Return a function that examines it: what did not pass, by name."""

    def rows():
        asked = {"kubeconfig": cluster.path, "context": "", "namespace": "llm", "restarts": 3}
        asked |= {"objects": copy.deepcopy(WANTED), "secrets": SECRETS}
        before = dict(cluster.objects)
        found = probe_cluster.examined("cluster", asked)
        assert cluster.objects == before
        return {one.check: one for one in found if one.status != "passed"}, found

    return rows


def place(kind, name):
    metadata = {"name": name, "namespace": "llm"}
    return kinds.path({"kind": kind, "apiVersion": kinds.KINDS[kind].version, "metadata": metadata})


def test_a_cluster_that_has_and_runs_it_all_has_a_line_for_each_kind_of_check(examined):
    wrong, rows = examined()
    assert wrong == {}
    names = ["cluster policies", "cluster objects", "cluster rollouts", "cluster pods"]
    assert [row.check for row in rows] == names


def test_what_is_gone_is_named(cluster, examined):
    for kind, name in (("NetworkPolicy", "gateway"), ("Service", "gateway")):
        del cluster.objects[place(kind, name)]
    wrong, _rows = examined()
    assert set(wrong) == {"missing NetworkPolicy gateway", "missing Service gateway"}
    assert "site.yml" in wrong["missing Service gateway"].action


def test_a_changed_policy_is_a_failure_and_other_changes_are_drift(cluster, examined):
    cluster.objects[place("NetworkPolicy", "gateway")]["spec"]["egress"] = [{}]
    cluster.objects[place("Service", "gateway")]["spec"]["ports"][0]["port"] = 1
    wrong, _rows = examined()
    assert set(wrong) == {"changed NetworkPolicy gateway", "drift Service gateway"}
    assert "spec" in wrong["changed NetworkPolicy gateway"].found


def test_a_policy_of_others_opens_what_none_of_ours_closes(cluster, examined):
    foreign = {"metadata": {"name": "open", "namespace": "llm"}, "spec": {"ingress": [{}]}}
    cluster.objects[place("NetworkPolicy", "open")] = {"kind": "NetworkPolicy", **foreign}
    assert set(examined()[0]) == {"foreign NetworkPolicy open"}


def test_a_secret_lacks_a_key_or_is_not_there(cluster, examined):
    cluster.objects[place("Secret", "gateway-secrets")]["data"].pop("session_key")
    del cluster.objects[place("Secret", "gateway-metrics")]
    wrong, _rows = examined()
    assert wrong["missing Secret gateway-secrets"].found == "it has no session_key"
    assert wrong["missing Secret gateway-metrics"].found == "it is not there"


def test_a_secret_that_the_site_makes_itself_is_nothing_that_we_could_bring_back(cluster):
    asked = {"kubeconfig": cluster.path, "context": "", "namespace": "llm", "restarts": 3}
    asked |= {"objects": [], "secrets": [{"service": "platform", "name": "tls", "keys": ["a"]}]}
    (row,) = [one for one in probe_cluster.examined("x", asked) if one.status == "failed"]
    assert row.check == "the site's Secret tls"
    assert not row.check.startswith(probe_cluster.OF_OBJECTS)


def test_a_rollout_that_is_not_complete_is_named(cluster, examined):
    cluster.stuck["gateway"] = {"availableReplicas": 0}
    assert "0 of" in examined()[0]["rollout Deployment gateway"].found


def test_an_autoscaler_without_numbers_is_a_warning(cluster, examined):
    condition = {"type": "ScalingActive", "status": "False", "message": "no metrics known"}
    autoscaler = cluster.objects[place("HorizontalPodAutoscaler", "gateway")]
    autoscaler["status"] = {"conditions": [condition]}
    row = examined()[0]["HorizontalPodAutoscaler gateway"]
    assert (row.status, row.found) == ("warning", "no metrics known")


def pod(name="gateway-0", status=READY, minutes=None, count=0):
    container = {"name": "gateway", "restartCount": count, "state": {"running": {}}}
    if minutes is not None:
        at = datetime.now(timezone.utc) - timedelta(minutes=minutes)  # noqa: UP017
        ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        container["lastState"] = {"terminated": ended}
    return {"metadata": {"name": name}, "status": {**status, "containerStatuses": [container]}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (pod(), ""),
        (pod(status={"phase": "Succeeded"}), ""),
        (pod(minutes=1, count=2), ""),
        (pod(minutes=60, count=9), ""),
        (pod(minutes=1, count=3), "3 restarts, the last after exit code 137 (OOMKilled)"),
        (pod(status={}), "not ready yet"),
    ],
)
def test_a_pod_is_ready_and_in_no_loop(cluster, examined, found, said):
    cluster.pods = [found]
    wrong, _rows = examined()
    assert [(name, row.found) for name, row in wrong.items()] == [("pod gateway-0", said)] * bool(
        said
    )
