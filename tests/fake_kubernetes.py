# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A Kubernetes API of one test, with the few properties that matter to whoever applies objects.

It keeps objects by path, fills in defaults, counts generations, tries without keeping (dryRun),
knows no namespace that was not made, and rolls out what runs pods at once unless told otherwise.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import socket
import threading
from urllib.parse import parse_qs, urlsplit

import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import kinds
from support import Exchange, FakeService

CERTIFIED = "not-told"
# Messages of a WebSocket.
BINARY, CLOSE = 2, 8
WORKLOADS = ("Deployment", "StatefulSet")
DEFAULTS = {"Service": {"type": "ClusterIP"}, "Deployment": {"progressDeadlineSeconds": 600}}


class FakeCluster:
    """The API server and what its controllers would do."""

    def __init__(self) -> None:
        self.objects: dict[str, dict] = {}
        self.pods: list[dict] = []
        self.logs: dict[str, str] = {}
        self.never_restarted: set[str] = set()
        self.closed_logs: set[str] = set()
        self.refuses: dict[str, tuple[int, str]] = {}
        # What workloads and Jobs do not become, by name; a Job takes it along when it is removed.
        self.stuck: dict[str, dict] = {}
        # Kinds that nothing has brought.
        self.lacks: set[str] = set()
        # What is there for good, whoever removes it.
        self.keeps: set[str] = set()
        # What listens in a pod, by the pod's name and the port: where it is on this machine.
        self.programs: dict[tuple[str, int], tuple[str, int]] = {}
        self.calls: list[tuple[str, str, dict]] = []
        self._service = FakeService()
        self._service.replies = _Everything(self._answer)

    @property
    def url(self) -> str:
        return self._service.url

    def close(self) -> None:
        self._service.close()

    def kubeconfig(self, path, token: str = CERTIFIED) -> str:
        """Write a kubeconfig that leads here; returns its path."""
        config = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "fake", "user": "me"}}],
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": token}}],
        }
        path.write_text(yaml.safe_dump(config))
        return str(path)

    def names(self) -> list[str]:
        """Return kind and name of everything that is there."""
        return sorted(f"{o['kind']} {o['metadata']['name']}" for o in self.objects.values())

    def changes(self) -> list[str]:
        """Return method and path of each request that was meant to change something."""
        return [
            f"{method} {path}"
            for method, path, query in self.calls
            if method != "GET" and "dryRun" not in query
        ]

    def _answer(self, exchange: Exchange):
        split = urlsplit(exchange.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.calls.append((exchange.method, split.path, query))
        if exchange.headers.get("authorization") != f"Bearer {CERTIFIED}":
            return 401, _status("Unauthorized")
        if split.path in self.refuses and ("labelSelector" in query or exchange.method != "GET"):
            status, message = self.refuses[split.path]
            return status, _status(message)
        return getattr(self, f"_{exchange.method.lower()}")(split.path, query, exchange)

    def _get(self, path, query, _exchange):
        if path in self.objects:
            return 200, self._with_status(self.objects[path])
        if match := re.fullmatch(r".*/pods/([^/]+)/log", path):
            if match[1] in self.closed_logs:
                return 403, _status("pods/log is forbidden")
            if "previous" in query and match[1] in self.never_restarted:
                return 400, _status("previous terminated container not found")
            return 200, self.logs.get(match[1], "").encode()
        if match := re.fullmatch(r".*/pods/([^/]+)/portforward", path):
            return self._forwarded(match[1], int(query["ports"]))
        if match := re.fullmatch(r"/apis/([^/]+/[^/]+)", path):
            return 200, {"resources": [{"kind": kind} for kind in self._kinds_of(match[1])]}
        if path.endswith("/pods"):
            return 200, {"items": [pod for pod in self.pods if _is_meant(pod, query)]}
        if "labelSelector" in query:
            items = [
                {key: value for key, value in one.items() if key not in ("kind", "apiVersion")}
                for place, one in self.objects.items()
                if place.rpartition("/")[0] == path
                and _is_selected(query["labelSelector"], one["metadata"].get("labels", {}))
            ]
            return 200, {"items": items}
        return 404, _status(f"{path} not found")

    def _forwarded(self, pod, port):
        if not (place := self.programs.get((pod, port))):
            return 404, _status(f'pods "{pod}" not found')

        def carry(received, sent):
            with contextlib.suppress(OSError), socket.create_connection(place) as connection:
                threading.Thread(target=_to_client, args=(connection, sent), daemon=True).start()
                for message in _messages(received):
                    connection.sendall(message[1:])

        return 101, carry

    def _kinds_of(self, version):
        served = {name for name, known in kinds.KINDS.items() if known.version == version}
        return served - self.lacks

    def _patch(self, path, query, exchange):
        assert exchange.headers["content-type"] == "application/apply-patch+yaml"
        assert query["fieldManager"].startswith("intranet.mcp")
        assert query["fieldValidation"] == "Strict" and query["force"] == "true"
        namespace = re.match(r"/apis?/.*/namespaces/([^/]+)/", path)
        if namespace and f"/api/v1/namespaces/{namespace[1]}" not in self.objects:
            return 404, _status(f'namespaces "{namespace[1]}" not found')
        body, before = exchange.json(), self.objects.get(path)
        after = self._merged(before, body, query["fieldManager"])
        if defaults := DEFAULTS.get(body["kind"]):
            after["spec"] = {**defaults, **after.get("spec", {})}
        known = (before or {}).get("metadata", {})
        is_same = before is not None and _told(before) == _told(after)
        after["metadata"] |= {
            "uid": known.get("uid", path),
            "resourceVersion": known.get("resourceVersion", "1")
            if is_same
            else str(len(self.calls)),
            "generation": known.get("generation", 0) + (not is_same),
            "managedFields": _managed(known, body, query["fieldManager"]),
        }
        if "dryRun" not in query:
            self.objects[path] = after
        return 200 if before else 201, after

    def _merged(self, before, body, manager):
        """Who applies the number of pods alone changes nothing else; nobody's is the default."""
        if manager != "intranet.mcp":
            merged = copy.deepcopy(before)
            merged["spec"] |= body["spec"]
            return merged
        after = copy.deepcopy(body)
        if before and body["kind"] in WORKLOADS and "replicas" not in body["spec"]:
            others = [
                one for one in before["metadata"]["managedFields"] if one["manager"] != manager
            ]
            if any("f:replicas" in one["fieldsV1"]["f:spec"] for one in others):
                after["spec"]["replicas"] = before["spec"]["replicas"]
        return after

    def _delete(self, path, _query, exchange):
        assert exchange.json()["propagationPolicy"] == "Background"
        if path not in self.objects:
            return 404, _status(f"{path} not found")
        if self.objects[path]["kind"] == "Job":
            self.stuck.pop(self.objects[path]["metadata"]["name"], None)
        return 200, self.objects[path] if path in self.keeps else self.objects.pop(path)

    def _with_status(self, found):
        stuck = self.stuck.get(found["metadata"]["name"])
        if found["kind"] == "Job":
            ended = {"conditions": [{"type": "Complete", "status": "True"}]}
            return {**found, "status": stuck or ended}
        if found["kind"] == "Cluster":
            count = found["spec"]["instances"]
            return {**found, "status": stuck or {"readyInstances": count}}
        if found["kind"] not in WORKLOADS:
            return found
        count = found["spec"].get("replicas", 1)
        ready = dict.fromkeys(
            ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count
        )
        status = {"observedGeneration": found["metadata"]["generation"], **ready}
        return {**found, "status": {**status, **(stuck or {})}}


def _is_meant(pod, query):
    """Tell whether a pod is listed; one without labels always is."""
    labels = pod["metadata"].get("labels")
    return not labels or _is_selected(query["labelSelector"], labels)


def _is_selected(selector, labels):
    """Tell whether a selector means an object: NAME=VALUE, NAME!=VALUE, or NAME notin (VALUES)."""
    if unequal := re.fullmatch(r"([^!]+)!=(.+)", selector):
        return labels.get(unequal[1]) != unequal[2]
    for name, value, others in re.findall(r"([^,=\s]+)(?:=([^,]+)| notin \(([^)]*)\))", selector):
        if value and labels.get(name) != value:
            return False
        if others and labels.get(name) in others.split(","):
            return False
    return True


def _messages(stream):
    """Yield what a client of a WebSocket sends, which is masked."""
    while len(head := stream.read(2)) == 2:
        size = head[1] & 0x7F
        if size > 125:
            size = int.from_bytes(stream.read({126: 2, 127: 8}[size]), "big")
        mask, masked = stream.read(4), stream.read(size)
        repeated = (mask * (size // 4 + 1))[:size]
        both = int.from_bytes(masked, "big") ^ int.from_bytes(repeated, "big")
        if head[0] & 0x0F == BINARY:
            yield both.to_bytes(size, "big")


def _to_client(connection, stream):
    """Send what a program says, in messages that begin with the channel; the first has the port."""
    said = b"\0\0"
    with contextlib.suppress(OSError, ValueError):  # the client is gone
        while said:
            size = len(said) + 1
            head = bytes([size]) if size < 126 else bytes([126]) + size.to_bytes(2, "big")
            stream.write(bytes([0x80 | BINARY]) + head + b"\0" + said)
            stream.flush()
            said = connection.recv(32768)
        stream.write(bytes([0x80 | CLOSE, 0]))
        stream.flush()


class _Everything(dict):
    """Replies of FakeService that are all given by one function."""

    def __init__(self, answer):
        self._answer = answer

    def get(self, _key, _default=None):
        return self._answer


def _managed(known, body, manager):
    """Each manager's fields, as far as tests look at them."""
    kept = [one for one in known.get("managedFields", []) if one["manager"] != manager]
    fields = {f"f:{name}": {} for name in body.get("spec", {})}
    return [*kept, {"manager": manager, "fieldsV1": {"f:spec": fields}}]


def _told(found):
    metadata = {key: found["metadata"].get(key) for key in ("labels", "annotations")}
    return json.dumps([metadata, *(found.get(key) for key in ("spec", "data"))], sort_keys=True)


def _status(message):
    return {"kind": "Status", "status": "Failure", "message": message}
