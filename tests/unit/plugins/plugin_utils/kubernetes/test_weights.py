# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Models of an Ollama in a cluster come out of the site's registries, or from the control node."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import weights
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError

HERE = "registry.example.internal"
MODELS = [
    {"name": "qwen3:8b", "size_gb": 5.2, "digest": "sha256:abc"},
    {"name": "nomic-embed-text", "embedding": True, "size_gb": 0.3},
    {"name": "own", "sources": [{"type": "registry", "registry": "models.example:5000"}]},
    {"name": "gone", "state": "absent"},
]
PACKAGED = {"name": "smollm2:135m", "file": "smollm2-135m"}
WEIGHTS = [{"type": "file", "path": "/cache/x.gguf"}]


def test_each_model_has_its_source_and_its_digest():
    assert weights.loads(MODELS, HERE) == [
        "gone:latest",
        f"qwen3:8b {HERE}/library/qwen3:8b abc",
        f"nomic-embed-text:latest {HERE}/library/nomic-embed-text:latest -",
        "own:latest models.example:5000/library/own:latest -",
    ]
    assert weights.names(MODELS) == ["qwen3:8b", "nomic-embed-text:latest", "own:latest"]


def test_the_way_is_open_to_their_registries_alone():
    assert weights.registries(MODELS, HERE) == [f"{HERE}:443", "models.example:5000"]


def test_weights_of_a_file_are_sent_and_the_job_does_not_ask_for_them():
    own = {"name": "own", "sources": WEIGHTS}
    made = {"name": "made", "sources": [{"type": "modelfile", "content": "FROM own"}]}
    gone = {**PACKAGED, "state": "absent"}
    assert weights.sent([*MODELS, PACKAGED, own, made, gone]) == [PACKAGED, own, made]
    assert weights.loads([PACKAGED, own, made], HERE) == []
    assert weights.registries([own, made], HERE) == []
    assert weights.names([PACKAGED, own]) == ["smollm2:135m", "own:latest"]
    assert weights.sources(own, HERE) == WEIGHTS


def test_a_package_is_the_second_choice_where_the_site_has_a_registry():
    first = {"type": "registry", "model": f"{HERE}/library/smollm2:135m"}
    assert weights.sources(PACKAGED, HERE, WEIGHTS) == [first, *WEIGHTS]
    assert weights.registries([PACKAGED], HERE) == [f"{HERE}:443"]
    assert weights.sources(PACKAGED, "", WEIGHTS) == WEIGHTS
    assert weights.registries([PACKAGED], "") == []
    # What makes vectors of the same weights is in no registry.
    assert weights.sources({**PACKAGED, "embedding": True}, HERE, WEIGHTS) == WEIGHTS


def test_the_module_pulls_by_the_name_that_the_job_pulls_by():
    for model in MODELS[:3]:
        (source,) = weights.sources(model, HERE)
        (told,) = weights.loads([model], HERE)
        assert told.split()[1] == source["model"]


def test_the_room_that_they_take_is_what_they_say():
    packages = {PACKAGED["file"]: {"member_bytes": 98_362_432}}
    assert weights.total_bytes(MODELS, packages) == 5_500_000_000
    gone = {"name": "big", "size_gb": 9, "state": "absent"}
    assert weights.total_bytes([PACKAGED, gone], packages) == 98_362_432


@pytest.mark.parametrize(
    ("model", "registry", "message"),
    [
        ({"name": "qwen3:8b"}, "", "would come from qwen3:8b, which names no registry"),
        ({"name": "hub/qwen3:8b"}, "", "would come from hub/qwen3:8b, which names no registry"),
        (
            {"name": "x", "sources": [{"type": "registry", "insecure": True}]},
            HERE,
            "a source that is insecure",
        ),
    ],
)
def test_what_would_come_from_the_internet_is_refused(model, registry, message):
    with pytest.raises(KubernetesError, match=message):
        weights.loads([model], registry)
    with pytest.raises(KubernetesError, match=message):
        weights.registries([model], registry)
    # Nor is it a first choice.
    with pytest.raises(KubernetesError, match=message):
        weights.sources({"sources": [{}, *WEIGHTS], **model}, registry)
