# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import rollout


def workload(kind, status, generation=2):
    return {
        "kind": kind,
        "metadata": {"name": "x", "generation": generation},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 2, **status},
    }


@pytest.mark.parametrize(
    ("status", "missing"),
    [
        ({"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}, ""),
        ({"updatedReplicas": 1, "replicas": 3, "availableReplicas": 3}, "1 of 2 pods are new"),
        ({"updatedReplicas": 2, "replicas": 3, "availableReplicas": 3}, "1 pods of before"),
        ({"updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}, "1 of 2 pods are ready"),
        ({}, "0 of 2 pods are new"),
    ],
)
def test_a_deployment_is_done_when_only_new_pods_are_there_and_ready(status, missing):
    assert rollout.missing(workload("Deployment", status)).startswith(missing or "")
    assert bool(rollout.missing(workload("Deployment", status))) is bool(missing)


@pytest.mark.parametrize(
    ("status", "missing"),
    [
        ({"readyReplicas": 2, "updateRevision": "b", "currentRevision": "b"}, ""),
        ({"readyReplicas": 1, "updateRevision": "b", "currentRevision": "b"}, "1 of 2 pods are r"),
        (
            {
                "readyReplicas": 2,
                "updateRevision": "b",
                "currentRevision": "a",
                "updatedReplicas": 1,
            },
            "1 of 2 pods are new",
        ),
    ],
)
def test_a_stateful_set_is_done_when_every_pod_is_of_the_new_revision(status, missing):
    found = rollout.missing(workload("StatefulSet", status))
    assert found.startswith(missing) and bool(found) is bool(missing)


def test_what_its_controller_has_not_seen_is_not_done():
    done = {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
    found = rollout.missing(workload("Deployment", done, generation=3))
    assert found == "its controller has not seen the change"
    assert rollout.missing({"kind": "Deployment", "metadata": {"generation": 1}, "spec": {}})


def pod(*containers, **conditions):
    status = {
        "conditions": [{"type": name, "status": value} for name, value in conditions.items()],
        "containerStatuses": list(containers),
    }
    return {"status": status}


ENDED = {"exitCode": 137, "reason": "OOMKilled"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pod(Ready="True"), ("", False)),
        (pod({"state": {"running": {}}}, Ready="False"), ("not ready yet", False)),
        (pod({"state": {"waiting": {"reason": "ContainerCreating"}}}), ("not ready yet", False)),
        (
            pod({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such"}}}),
            ("ImagePullBackOff: no such", False),
        ),
        (
            pod({"state": {"running": {}}, "lastState": {"terminated": ENDED}}),
            ("not ready again; ended with 137 (OOMKilled)", True),
        ),
        (pod({"state": {"terminated": ENDED}}), ("ended with 137 (OOMKilled)", False)),
        ({}, ("not ready yet", False)),
    ],
)
def test_a_pod_says_why_it_is_not_ready(found, expected):
    assert rollout.trouble(found) == expected


@pytest.mark.parametrize(
    ("conditions", "missing", "is_hopeless"),
    [
        ([], "it has not ended", False),
        ([{"type": "Complete", "status": "True"}], "", False),
        ([{"type": "SuccessCriteriaMet", "status": "True"}], "it has not ended", False),
        ([{"type": "Failed", "status": "False"}], "it has not ended", False),
        (
            [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}],
            "it failed (DeadlineExceeded)",
            True,
        ),
    ],
)
def test_a_job_is_done_when_it_ended_well(conditions, missing, is_hopeless):
    job = {"kind": "Job", "metadata": {"name": "x"}, "status": {"conditions": conditions}}
    assert rollout.missing(job) == missing
    assert rollout.is_hopeless(job) is is_hopeless
    assert rollout.pods_of(job) == {"batch.kubernetes.io/job-name": "x"}


@pytest.mark.parametrize(
    ("status", "missing"),
    [
        ({}, "0 of 3 instances are ready: its operator has said nothing"),
        ({"readyInstances": 2, "phase": "Creating replica"}, "2 of 3 instances are ready: Creat"),
        ({"readyInstances": 3}, ""),
    ],
)
def test_a_database_of_an_operator_is_done_when_every_instance_is_ready(status, missing):
    database = {"kind": "Cluster", "metadata": {"name": "postgres"}, "spec": {"instances": 3}}
    found = rollout.missing({**database, "status": status})
    assert found.startswith(missing) and bool(found) is bool(missing)
    assert rollout.pods_of(database) == {"cnpg.io/cluster": "postgres"}
