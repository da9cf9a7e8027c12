# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a service writes to: claims, scratch volumes, memory. Pure."""

from __future__ import annotations

import math
import posixpath
import re

from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import (
    DEPLOYMENT,
    STATEFUL_SET,
    KubernetesError,
    object_named,
    quantity,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import Unit

SHM = "/dev/shm"  # noqa: S108  inside the container
TMP = ["/tmp"]  # noqa: S108  inside the container
# Options of a tmpfs that an emptyDir has no need of: it belongs to the pod alone, by its fsGroup.
_OF_TMPFS = ("mode", "uid", "gid")
_SIZE = re.compile(r"([0-9]+)([kmg]?)", re.IGNORECASE)
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def kind_of(unit: Unit) -> str:
    """What runs the pods: those that keep something are never two on one volume."""
    is_kept = any("scratch" not in declared(unit, name) for name in volumes(unit))
    return STATEFUL_SET if is_kept else DEPLOYMENT


def claims(unit: Unit) -> list[dict]:
    """Templates of the claims that each pod has for itself."""
    found = [(name, declared(unit, name)) for name in volumes(unit)]
    return [_claim(unit, name, said) for name, said in found if "size" in said]


def objects(unit: Unit) -> list[dict]:
    """Claims that are made before their pods, as a Job brings something there: under the names by
    which the StatefulSet finds them.
    """
    if not unit.definition.get("prepare"):
        return []
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": unit.meta(_claim_of(unit, claim["metadata"]["name"], ordinal)),
            "spec": claim["spec"],
        }
        for ordinal in range(unit.most)
        for claim in claims(unit)
    ]


def _claim_of(unit: Unit, name: str, ordinal: int) -> str:
    """The claim of one pod, as the controller of StatefulSets calls it."""
    return f"{name}-{unit.name}-{ordinal}"


def mounts(unit: Unit, ordinal: int | None = None) -> list[tuple[dict | None, dict]]:
    """Volumes of the pod with their mounts; None for one that comes out of a template.

    ordinal: of the pod whose claims are meant, for whatever fills them before it starts.
    """
    found = [
        (_volume(unit, name, ordinal), {"name": name, "mountPath": path})
        for name, path in volumes(unit).items()
    ]
    found += [_bind(unit, n, bind) for n, bind in enumerate(unit.definition.get("binds", []))]
    found += [
        _in_memory(unit, n, entry) for n, entry in enumerate(unit.definition.get("tmpfs", TMP))
    ]
    if "shm_mb" in unit.definition:
        memory = {"medium": "Memory", "sizeLimit": f"{unit.definition['shm_mb']}Mi"}
        found.append(({"name": "shm", "emptyDir": memory}, {"name": "shm", "mountPath": SHM}))
    return found


def volumes(unit: Unit) -> dict[str, str]:
    """Where each volume is in the container, by name."""
    return unit.definition.get("volumes", {})


def declared(unit: Unit, name: str) -> dict:
    """What the site says of a volume: one of size, scratch and claim."""
    said = unit.target.site.volumes.get(unit.service.name, {}).get(name, {})
    place = f"kubernetes_volumes.{unit.service.name}.{name}"
    if sum(key in said for key in ("size", "scratch", "claim")) != 1:
        raise KubernetesError(
            f"{place} is {said or 'not set'}",
            "one of size (a claim for each pod), scratch (gone with the pod) and claim (one that "
            "is there)",
            f"say where {unit.place} keeps it",
        )
    if "claim" in said and unit.most > 1:
        raise KubernetesError(
            f"{place} names one claim for {unit.most} replicas",
            "size or scratch, of which each has its own",
            "correct it, or lower the number of replicas",
        )
    return said


def _claim(unit: Unit, name: str, said: dict) -> dict:
    size = quantity(f"kubernetes_volumes.{unit.service.name}.{name}.size", said["size"])
    spec = {
        "accessModes": [said.get("access", "ReadWriteOnce")],
        "resources": {"requests": {"storage": size}},
    }
    if said.get("storage_class"):
        spec["storageClassName"] = said["storage_class"]
    # Nothing of a claim can be changed later, so it has no label that could.
    return {"metadata": {"name": name, "labels": unit.selector}, "spec": spec}


def _volume(unit: Unit, name: str, ordinal: int | None) -> dict | None:
    said = declared(unit, name)
    place = f"kubernetes_volumes.{unit.service.name}.{name}"
    if "scratch" in said:
        limit = quantity(f"{place}.scratch", said["scratch"])
        return {"name": name, "emptyDir": {"sizeLimit": limit}}
    if "claim" in said:
        claim = object_named(f"{place}.claim", said["claim"])
        return {"name": name, "persistentVolumeClaim": {"claimName": claim}}
    if ordinal is None:
        return None
    return {"name": name, "persistentVolumeClaim": {"claimName": _claim_of(unit, name, ordinal)}}


def _bind(unit: Unit, number: int, bind: str) -> tuple[dict, dict]:
    """A directory of a host, for which the site names a claim: nodes' own are out of bounds."""
    directory, path, *options = bind.split(":")
    said = unit.target.site.directories.get(directory)
    if not said:
        raise KubernetesError(
            f"{unit.place} mounts {directory} of its host",
            "a claim in its place: PodSecurity `restricted` keeps pods off their node's files",
            f"name one: kubernetes_directories: {{{directory}: {{claim: NAME}}}}",
        )
    name = f"directory-{number}"
    claim = object_named(f"kubernetes_directories.{directory}.claim", said.get("claim"))
    is_read_only = "rw" not in ",".join(options).split(",")
    source = {"claimName": claim, **({"readOnly": True} if is_read_only else {})}
    mount = {"name": name, "mountPath": path, **({"readOnly": True} if is_read_only else {})}
    return {"name": name, "persistentVolumeClaim": source}, mount


def _in_memory(unit: Unit, number: int, entry: str) -> tuple[dict, dict]:
    path, _colon, options = entry.partition(":")
    memory: dict = {"medium": "Memory"}
    for option in filter(None, options.split(",")):
        key, _equals, value = option.partition("=")
        if key == "size" and _SIZE.fullmatch(value):
            memory["sizeLimit"] = _mebibytes(value)
        elif key not in _OF_TMPFS:
            raise KubernetesError(
                f"{unit.place}: tmpfs {entry!r} has the option {option!r}",
                f"size, {', '.join(_OF_TMPFS)}",
                "leave it out",
            )
    name = f"memory-{number}"
    mount = {"name": name, "mountPath": posixpath.normpath(path)}
    return {"name": name, "emptyDir": memory}, mount


def _mebibytes(size: str) -> str:
    number, unit = _SIZE.fullmatch(size).groups()
    return f"{math.ceil(int(number) * _BYTES[unit.lower()] / 1024**2)}Mi"
