# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What ends well before pods of a new version start."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import objects
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError
from clusters import DEFINITIONS, SITE, definition, rendered, target


def job(**changes):
    return rendered("litellm", target(), **changes)["Job"]


def test_it_is_the_services_program_with_another_command_and_nobodys_server():
    found = rendered("litellm", target())
    spec, served = found["Job"]["spec"], found["Deployment"]["spec"]["template"]["spec"]
    pod = spec["template"]["spec"]
    (once,), (server,) = pod["containers"], served["containers"]
    assert once["args"] == ["sh", "/config/start.sh", "true"]
    for key in ("image", "env", "resources", "securityContext", "volumeMounts"):
        assert once[key] == server[key]
    assert not {"ports", "readinessProbe", "livenessProbe", "lifecycle"} & {*once}
    assert pod["restartPolicy"] == "Never" and pod["securityContext"] == served["securityContext"]
    assert spec["activeDeadlineSeconds"] == 900


def test_it_may_connect_to_what_its_service_may_and_gets_no_requests():
    found = rendered("litellm", target())
    labels = found["Job"]["spec"]["template"]["metadata"]["labels"]
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    for selector in (
        found["Service"]["spec"]["selector"],
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert not selector.items() <= labels.items()


def test_another_version_has_a_job_of_its_own_and_the_same_one_has_not():
    name = job()["metadata"]["name"]
    assert job()["metadata"]["name"] == name
    assert job(image="litellm:new")["metadata"]["name"] != name
    assert job(files={"config.yaml": "new"})["metadata"]["name"] != name
    assert job(stop_seconds=99)["metadata"]["name"] != name


def test_what_prepares_brings_it_into_a_claim_that_the_pod_uses_later():
    found = rendered("ollama", target())
    claim, spec = found["PersistentVolumeClaim"], found["StatefulSet"]["spec"]
    assert claim["metadata"]["name"] == "models-ollama-0"
    assert claim["spec"]["resources"]["requests"] == {"storage": "100Gi"}
    # By its name it is the claim of the first pod.
    (template,) = spec["volumeClaimTemplates"]
    assert (template["metadata"]["name"], template["spec"]) == ("models", claim["spec"])
    used = {"name": "models", "persistentVolumeClaim": {"claimName": "models-ollama-0"}}
    once, served = found["Job"]["spec"]["template"]["spec"], spec["template"]["spec"]
    assert used in once["volumes"] and "models" not in str(served.get("volumes", []))
    # Which may be reached from one node alone.
    ((preferred,),) = once["affinity"]["podAffinity"].values()
    term = preferred["podAffinityTerm"]
    assert spec["selector"]["matchLabels"].items() <= term["labelSelector"]["matchLabels"].items()
    assert term["topologyKey"].endswith("/hostname")


def test_each_pod_has_a_claim_of_its_own_and_a_job_that_fills_it():
    said = target(said={"replicas": {"ollama": 2}})
    found = objects.of_owner([definition("ollama")], "ollama", said)
    claims = [one["metadata"]["name"] for one in found if one["kind"] == "PersistentVolumeClaim"]
    jobs = [one for one in found if one["kind"] == "Job"]
    assert claims == ["models-ollama-0", "models-ollama-1"]
    assert len({job["metadata"]["name"] for job in jobs}) == 2
    specs = [job["spec"]["template"]["spec"] for job in jobs]
    for number in (0, 1):
        (spec,) = [one for one in specs if f"'models-ollama-{number}'" in str(one["volumes"])]
        assert f"'statefulset.kubernetes.io/pod-name': 'ollama-{number}'" in str(spec["affinity"])


def test_what_brings_models_holds_neither_a_gpu_nor_their_memory():
    found = rendered("ollama", target())
    (once,) = found["Job"]["spec"]["template"]["spec"]["containers"]
    (server,) = found["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert (once["command"], len(once["args"])) == (["sh", "/config/load.sh"], 1)
    assert once["resources"]["limits"] == {"memory": "1024Mi"}
    assert server["resources"]["limits"] == {"memory": "8192Mi", "nvidia.com/gpu": "1"}
    assert found["Job"]["spec"]["activeDeadlineSeconds"] == 7200


def test_what_brings_models_runs_where_the_gpus_are_since_it_uses_the_claim_first():
    """Bound to the zone of a node without GPUs, the claim would keep the pod from all that have."""
    said = {
        "node_selector": {"nvidia.com/gpu.present": "true"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
    gpu = {"resource": "nvidia.com/gpu", "count": 1, **said}
    found = rendered("ollama", target(said={"gpu": gpu}))
    for kind in ("Job", "StatefulSet"):
        spec = found[kind]["spec"]["template"]["spec"]
        assert spec["nodeSelector"] == said["node_selector"]
        assert spec["tolerations"] == said["tolerations"]
    of_litellm = rendered("litellm", target(said={"gpu": gpu}))["Job"]["spec"]["template"]["spec"]
    assert not {"nodeSelector", "tolerations"} & {*of_litellm}


def test_another_list_of_models_is_another_job_and_restarts_nothing():
    before, command = rendered("ollama", target()), ["other registry.example.internal/other:1 -"]
    prepare = {**DEFINITIONS["ollama"]["prepare"], "command": command}
    files = {**DEFINITIONS["ollama"]["files"], "models": "other:1\n"}
    after = rendered("ollama", target(), prepare=prepare, files=files)
    assert before["Job"]["metadata"]["name"] != after["Job"]["metadata"]["name"]
    assert before["StatefulSet"] == after["StatefulSet"]


def test_nobody_is_sent_to_a_server_without_its_models():
    (server,) = rendered("ollama", target())["StatefulSet"]["spec"]["template"]["spec"][
        "containers"
    ]
    assert server["readinessProbe"]["exec"]["command"] == ["sh", "/config/ready.sh"]
    # That it is alive is another question.
    assert server["livenessProbe"]["httpGet"]["path"] == "/api/tags"


def of_models(**volume):
    return {"volumes": {**SITE["volumes"], "ollama": {"models": volume}}}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (of_models(size="6Gi"), "models.size is 6Gi, expected 7Gi or more"),
        (of_models(scratch="100Gi"), "models is scratch, and service 'ollama' has prepare"),
        (
            {"autoscaling": {"ollama": {"max": 2, "cpu_percent": 70}}},
            "claims for each pod, and an autoscaler",
        ),
    ],
)
def test_a_place_that_cannot_hold_what_is_brought_is_refused(said, message):
    with pytest.raises(KubernetesError, match=message):
        rendered("ollama", target(said=said))
    rendered("ollama", target(said=of_models(size="7Gi")))
    rendered("ollama", target(said=of_models(claim="models")))


def test_a_key_that_prepare_does_not_have_is_named():
    with pytest.raises(KubernetesError, match="prepare has the key 'comand'"):
        job(prepare={"comand": ["true"]})
