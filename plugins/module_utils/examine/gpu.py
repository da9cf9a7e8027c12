# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A host's NVIDIA GPU: its driver, what it needs to serve models, and whether models lie on it."""

from __future__ import annotations

import glob
import os
import re
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding, verdict
from ansible_collections.intranet.mcp.plugins.module_utils.host.facts import read as read_file
from ansible_collections.intranet.mcp.plugins.module_utils.host.release import numbers
from ansible_collections.intranet.mcp.plugins.module_utils.ollama.client import on_gpu

# Ollama's CUDA runners need this driver or a newer one (docs.ollama.com/gpu, 0.34).
DRIVER_FLOOR = "531"
DEVICES = ("/dev/nvidia0", "/proc/driver/nvidia")


def has_device() -> bool:
    """Whether an NVIDIA driver is loaded."""
    return any(map(os.path.exists, DEVICES))


def read() -> dict:
    """What the NVIDIA driver, where there is one, says of itself."""
    version = re.search(r"Kernel Module\D*([\d.]+)", read_file("/proc/driver/nvidia/version"))
    programs = (read_file(path) for path in glob.glob("/proc/[0-9]*/comm"))
    return {
        "device": has_device(),
        "driver": version.group(1) if version else "",
        "switch": bool(glob.glob("/proc/driver/nvidia-nvswitch/devices/*")),
        # The kernel cuts names of programs at 15 characters.
        "fabric_manager": any(name.startswith("nv-fabricmanage") for name in programs),
    }


def judge(check: str, found: dict, declared: str) -> list[Finding]:
    """Return whether somebody decided about the GPU, and whether it can serve models. Pure.

    found: as read. declared: yes, no, undecided, or unused where nothing of the host would use it.
    """
    if declared == "undecided" and found["device"]:
        return [
            Finding(
                check,
                "an NVIDIA GPU, and nvidia_gpu is not set for this host",
                "a decision: otherwise Ollama serves from the CPU while the GPU idles",
                "set nvidia_gpu: true for it (Ollama's image with CUDA then comes from a bundle or "
                "a registry), or nvidia_gpu: false to serve from the CPU",
            )
        ]
    if declared != "yes":
        return []
    device = judge_device(check, found["device"])
    return [device] if device.is_failed else [device, *_judge_driver(check, found)]


def judge_device(check: str, has_device: bool) -> Finding:
    """Return whether there is a driver where the inventory says so. Pure."""
    there = "an NVIDIA driver" if has_device else f"no NVIDIA driver (neither {_either()})"
    return Finding(
        check,
        f"{there}, and nvidia_gpu is true",
        "a loaded NVIDIA driver",
        "install the driver, or set nvidia_gpu: false",
        status=verdict(has_device),
    )


def _either() -> str:
    return " nor ".join(DEVICES)


def _judge_driver(check: str, found: dict) -> list[Finding]:
    # One that does not say its version is left to CUDA.
    is_new = not found["driver"] or numbers(found["driver"]) >= numbers(DRIVER_FLOOR)
    return [
        Finding(
            check,
            f"NVIDIA driver {found['driver']}",
            f"{DRIVER_FLOOR} or newer, for Ollama's CUDA runners",
            "update the driver",
            status=verdict(is_new),
        ),
        Finding(
            check,
            "GPUs joined by NVSwitch, and no fabric manager runs",
            "nvidia-fabricmanager of the driver's version: CUDA does not start without it",
            "install it, and run systemctl enable --now nvidia-fabricmanager",
            status=verdict(not found["switch"] or found["fabric_manager"]),
        ),
    ]


def judge_models(check: str, models: list[dict[str, Any]]) -> Finding:
    """Return whether loaded models, as `/api/ps` lists them, lie on the GPU. Pure."""
    shares = {model["name"]: on_gpu(model) for model in models}
    text = ", ".join(f"{model} {share:.0%} on the GPU" for model, share in shares.items())
    on_cpu = ", ".join(model for model, share in shares.items() if not share)
    if on_cpu:
        text += f": Ollama holds {on_cpu} in the CPU's memory"
    return Finding(
        check,
        text or "no model is in memory",
        "every loaded model on the GPU, because nvidia_gpu is true",
        "read what Ollama's log says of 'inference compute': without library=CUDA the image has no "
        "CUDA runners (bring ollama-cuda by bundle or registry) or the container lost its GPU "
        "(make doctor)",
        service="ollama",
        status=verdict(not on_cpu if shares else None),
    )
