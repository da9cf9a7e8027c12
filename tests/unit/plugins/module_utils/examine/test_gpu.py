# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import gpu

GIB = 2**30

GPU = {"device": True, "driver": "550.54.15", "switch": False, "fabric_manager": False}


@pytest.mark.parametrize(
    ("declared", "changes", "words"),
    [
        ("undecided", {}, "nvidia_gpu is not set"),
        ("undecided", {"device": False}, ""),
        ("no", {}, ""),
        ("unused", {}, ""),
        ("yes", {}, ""),
        ("yes", {"driver": ""}, ""),  # one that does not say its version is left to CUDA
        ("yes", {"device": False}, "neither /dev/nvidia0"),
        ("yes", {"driver": "525.147.05"}, "NVIDIA driver 525.147.05"),
        ("yes", {"switch": True}, "no fabric manager"),
        ("yes", {"switch": True, "fabric_manager": True}, ""),
    ],
)
def test_a_gpu_is_decided_about_and_can_serve(declared, changes, words):
    judged = gpu.judge("gpu", {**GPU, **changes}, declared)
    problems = [found for found in judged if found.is_failed]
    assert [words in problem.found for problem in problems] == ([True] if words else [])


@pytest.mark.parametrize(
    ("loaded", "status", "words"),
    [
        ([("qwen3:8b", 8, 8)], "passed", "qwen3:8b 100% on the GPU"),
        ([("qwen3:32b", 20, 15)], "passed", "qwen3:32b 75% on the GPU"),
        ([("qwen3:8b", 8, 8), ("embed", 1, 0)], "failed", "embed 0% on the GPU"),
        ([], "unknown", "no model is in memory"),
    ],
)
def test_a_model_that_fills_only_the_cpus_memory_fails_a_gpu_host(loaded, status, words):
    models = [{"name": n, "size": s * GIB, "size_vram": v * GIB} for n, s, v in loaded]
    row = gpu.judge_models("GPU gpu1", models)
    assert row.status == status and words in row.found
