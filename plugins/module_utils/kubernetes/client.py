# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The API of a Kubernetes cluster, as far as a platform needs it."""

from __future__ import annotations

import os
import ssl
import tempfile
from urllib.parse import urlencode

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    NotReady,
    Refused,
    Unauthorized,
    Unexpected,
    Unknown,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient, Reply
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import kinds
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.kubeconfig import Access

# Whose fields the cluster takes ours for. What others manage in the same objects stays theirs.
FIELD_MANAGER = "intranet.mcp"
# To whom the number of pods is left, until their autoscaler takes it over.
SCALING_MANAGER = "intranet.mcp.scaling"
APPLY = {"Content-Type": "application/apply-patch+yaml"}  # JSON is YAML


class ClusterClient(HttpClient):
    """Reads, applies and removes objects. A status that is no success is raised as it is meant."""

    def __init__(self, access: Access, timeout: float = 30) -> None:
        self._access = access
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        super().__init__(
            access.server,
            "the Kubernetes API",
            "the kubeconfig's server",
            headers=headers,
            timeout=timeout,
            validate_certs=access.validate_certs,
        )

    def _tls_context(self, validate_certs: bool, ca_path: str | None) -> ssl.SSLContext:
        return tls_context(self._access)

    def read_object(self, found: dict) -> dict | None:
        """Return an object as the cluster has it; None where it has none."""
        reply = self.request("GET", kinds.path(found))
        return None if reply.status == 404 else self._body(reply, "read", kinds.label(found))

    def apply(self, found: dict, is_dry: bool = False, manager: str = FIELD_MANAGER) -> dict:
        """Apply an object, or what this manager has of it; return what it is then, or would be."""
        query = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if is_dry else {}
        place = f"{kinds.path(found)}?{urlencode(query)}"
        reply = self.request("PATCH", place, body=found, headers=APPLY)
        return self._body(reply, "apply", kinds.label(found))

    def remove(self, found: dict) -> None:
        """Remove an object and what belongs to it; one that is gone is no error."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        }
        reply = self.request("DELETE", kinds.path(found), body=options)
        if reply.status != 404:
            self._body(reply, "remove", kinds.label(found))

    def list_objects(
        self, kind: str, namespace: str, selector: str, may_be_closed: bool = False
    ) -> list[dict]:
        """Return the objects of a kind with such labels; none where there is no such kind.

        may_be_closed: nor where we may not look. A cluster says that of kinds that it has not, too.
        """
        known = kinds.KINDS[kind]
        place = kinds.collection(kind, namespace)
        items = self._list(place, selector, (403, 404) if may_be_closed else (404,))
        return [{"apiVersion": known.version, "kind": kind, **item} for item in items]

    def has_kind(self, kind: str) -> bool:
        """Whether the cluster serves a kind, in the version that is used here."""
        root = f"/apis/{kinds.KINDS[kind].version}"
        reply = self.request("GET", root)
        if reply.status == 404:
            return False
        listed = self._body(reply, "list", root).get("resources") or []
        return any(one.get("kind") == kind for one in listed)

    def pods(self, namespace: str, selector: str) -> list[dict]:
        return self._list(f"/api/v1/namespaces/{namespace}/pods", selector)

    def log(self, namespace: str, pod: str, lines: int, is_previous: bool) -> str:
        """Return the last lines that a pod said; empty where nothing can be read."""
        query = urlencode({"tailLines": lines, **({"previous": "true"} if is_previous else {})})
        reply = self.request("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log?{query}")
        return reply.text if reply.ok else ""

    def log_since(self, namespace: str, pod: str, time: str, is_previous: bool) -> bytes:
        """Return what a pod said since then; is_previous: its program that ended, if it is kept."""
        query = {"sinceTime": time, **({"previous": "true"} if is_previous else {})}
        place = f"/api/v1/namespaces/{namespace}/pods/{pod}/log?{urlencode(query)}"
        reply = self.request("GET", place)
        if not reply.ok and not is_previous:
            self._body(reply, "read", f"the log of pod {pod}")
        return reply.body if reply.ok else b""

    def _list(self, place: str, selector: str, none: tuple[int, ...] = (404,)) -> list[dict]:
        reply = self.request("GET", f"{place}?{urlencode({'labelSelector': selector})}")
        return [] if reply.status in none else self._body(reply, "list", place).get("items") or []

    def _body(self, reply: Reply, verb: str, what: str) -> dict:
        body = reply.json()
        if reply.ok and isinstance(body, dict):
            return body
        said = body.get("message", "") if isinstance(body, dict) else reply.text[:300]
        found = f"{self.url} answered {reply.status} when asked to {verb} {what} ({said})"
        raise _error(reply.status, found)


def _error(status: int, found: str) -> Exception:
    if status == 401:
        return Unauthorized(
            found, "credentials that the cluster accepts", "renew those of the kubeconfig's context"
        )
    if status == 403:
        return Unauthorized(
            found,
            "the right to do so",
            "have the cluster's administrator grant it in the namespace",
        )
    if status == 404:
        return Unknown(
            found,
            "a namespace that is there, and a kind that the cluster has",
            "install what brings the kind (Gateway API, Prometheus operator), or choose another",
        )
    if status in (400, 409, 422):
        return Refused(
            found,
            "an object that the cluster takes; some fields cannot be changed later",
            "correct the setting that is named, or remove the object first",
        )
    if status in (429, 500, 502, 503, 504):
        return NotReady(found, "an API server that is not overloaded", "try again in a minute")
    return Unexpected(found, "a reply of the Kubernetes API", "check the kubeconfig's server")


def tls_context(access: Access) -> ssl.SSLContext:
    """Whom a kubeconfig trusts, and what it shows of itself."""
    context = ssl.create_default_context(cadata=access.authorities or None)
    if not access.validate_certs:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if access.certificate:
        _load(context, access)
    return context


def _load(context: ssl.SSLContext, access: Access) -> None:
    """Python reads a client's certificate from a file alone."""
    handle, path = tempfile.mkstemp(prefix="kubernetes-")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(f"{access.certificate}\n{access.key}\n")
        context.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as error:
        raise Refused(
            f"the kubeconfig's client certificate cannot be used ({error})",
            "a certificate and its key in PEM",
            "correct the kubeconfig",
        ) from error
    finally:
        os.unlink(path)
