#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_objects
short_description: Exactly these objects of an owner in a Kubernetes cluster
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Applies objects server-side with a field manager of its own, waits until Deployments and
    StatefulSets are rolled out, and then removes the owner's objects that are not listed. After a
    rollout that fails nothing is removed, and pods of before keep what they were started with.
  - A Job has to end well before what is listed after it is applied, but for other Jobs. One that
    failed before runs again; one that ended well does not.
  - Needs no client library. O(kubeconfig) may have a token, a client certificate, or a helper
    (C(exec)).
notes:
  - Objects of an owner have the labels C(app.kubernetes.io/managed-by=intranet.mcp) and
    C(intranet.mcp.owner). Claims of StatefulSets have neither and are never removed. A
    C(Cluster) of CloudNativePG has them and is not removed either, as its claims go with it.
extends_documentation_fragment:
  - intranet.mcp.attributes
  - intranet.mcp.kubernetes
attributes:
  check_mode:
    support: full
    details:
      - Asks the cluster what each object would be (dry run). In a namespace that is not there yet
        everything would be created.
  diff_mode:
    support: full
    details:
      - What differs in each object, without what the cluster keeps about it. Of Secrets the names
        of the keys alone.
  idempotent:
    support: full
options:
  namespace:
    description: Where the owner's objects are.
    type: str
    required: true
  owner:
    description: Whose objects they are, the value of the label C(intranet.mcp.owner).
    type: str
  except_owners:
    description:
      - Instead of O(owner), all owners but these. What they have is removed, since their services
        run elsewhere or nowhere.
      - Without any, everything of the platform is removed.
    type: list
    elements: str
  remove_namespace:
    description:
      - Whether the namespace is removed at the end, with claims and whatever else is in it. Only
        one that was made here.
    type: bool
    default: false
  objects:
    description:
      - The objects, in the order in which they need each other. Without any, all of the owner's are
        removed, the namespace excepted.
    type: list
    elements: dict
  wait_seconds:
    description: How long all Jobs and rollouts together may take, or the end of a namespace.
    type: int
    default: 300
  wait_for_rollouts:
    description:
      - Whether rollouts are waited for. Jobs are in any case.
      - Without, nothing is removed either. For pods that are ready once something else was brought
        to them; whoever did that runs this again, and waits.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Have a ConfigMap, and nothing else of this owner
  intranet.mcp.kubernetes_objects:
    kubeconfig: ~/.kube/config
    context: production
    namespace: intranet-mcp
    owner: greeter
    objects:
      - apiVersion: v1
        kind: ConfigMap
        metadata:
          name: greeting
          namespace: intranet-mcp
          labels: {app.kubernetes.io/managed-by: intranet.mcp, intranet.mcp.owner: greeter}
        data: {text: hello}

- name: Remove what belongs to services that are no longer there
  intranet.mcp.kubernetes_objects:
    kubeconfig: ~/.kube/config
    namespace: intranet-mcp
    except_owners: [platform, greeter]
"""

RETURN = r"""
created:
  description: Objects that were not there, or in check mode are not.
  returned: success
  type: list
  elements: str
  sample: [Deployment gateway]
updated:
  description: Objects that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [ConfigMap gateway-live]
removed:
  description: Objects of the owner that were not listed.
  returned: success
  type: list
  elements: str
  sample: [ConfigMap gateway-config-0123456789]
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: timed_out
    found: "Deployment gateway: 1 of 2 pods are ready after 300 s (pod gateway-1: ImagePullBackOff)"
    expected: every rollout within 300 s
    action: correct what the pods say; those of before still serve where there are any
"""

import time

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    ServiceError,
    TimedOut,
    Unknown,
    fail,
)
from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import LABEL_OWNER
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import (
    client,
    compare,
    kinds,
    kubeconfig,
    labels,
    rollout,
)

POLL_SECONDS = 1
LOG_LINES = 15


class QuietModule(AnsibleModule):
    """Does not write its arguments, Secrets among them, to the system log."""

    def _log_invocation(self):
        pass


class Owned:
    """The objects of an owner: what is there, what must be, and the way from one to the other."""

    def __init__(self, cluster, objects, parameters, is_dry):
        self._client = cluster
        self._wanted = objects
        self._namespace = parameters["namespace"]
        self._whose = (
            f"{LABEL_OWNER}={parameters['owner']}"
            if parameters["owner"]
            else _others(parameters["except_owners"])
        )
        self._removes_namespace = parameters["remove_namespace"]
        self._waits = parameters["wait_for_rollouts"]
        self._seconds = parameters["wait_seconds"]
        self._ends_at = time.monotonic() + self._seconds
        self._is_dry = is_dry
        self.created, self.updated, self.removed, self.diff = [], [], [], []

    @property
    def changed(self):
        return bool(self.created or self.updated or self.removed)

    def apply(self):
        """Apply each object, wait for what runs pods, remove what is not listed."""
        wanted = {kinds.path(found) for found in self._wanted}
        self._check_kinds()
        has_namespace = self._read_namespace() is not None
        self._apply_all(has_namespace)
        if not self._waits:
            return
        for found in self._wanted:
            if found["kind"] in rollout.WAITED_FOR:
                self._wait(found)
        for found in reversed(self._there() if has_namespace else []):
            if kinds.path(found) not in wanted:
                self._remove(found)
        if self._removes_namespace and (namespace := self._read_namespace()):
            self._end(namespace)

    def _apply_all(self, has_namespace):
        """Apply in order; Jobs that follow each other run at once, and what comes next waits."""
        running = []
        for found in self._wanted:
            is_job = found["kind"] == rollout.JOB
            while running and not is_job:
                self._wait(running.pop())
            self._apply(found, has_namespace)
            running += [found] if is_job else []
        for job in running:
            self._wait(job)

    def _check_kinds(self):
        """Refuse kinds that the cluster does not have, before the first object is applied."""
        for kind in dict.fromkeys(found["kind"] for found in self._wanted):
            known = kinds.KINDS[kind]
            if known.brought_by and not self._client.has_kind(kind):
                raise Unknown(
                    f"the cluster has no {kind} of {known.version}",
                    f"what {known.brought_by} brings",
                    "have it installed, or say in the inventory that it is not there",
                )

    def _read_namespace(self):
        metadata = {"name": self._namespace}
        return self._client.read_object(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        )

    def _end(self, namespace):
        if not labels.MANAGED_BY.items() <= namespace["metadata"].get("labels", {}).items():
            raise Refused(
                f"namespace {self._namespace} has no label {labels.selector(labels.MANAGED_BY)}",
                "one that was made here",
                "leave it, or have its owner remove it",
            )
        self._remove(namespace)
        ends_at = time.monotonic() + self._seconds
        while not self._is_dry and self._read_namespace():
            if time.monotonic() > ends_at:
                raise TimedOut(
                    f"namespace {self._namespace} is still there after {self._seconds} s",
                    "its end",
                    "look at its status, which says what keeps it",
                )
            time.sleep(POLL_SECONDS)

    def _apply(self, found, has_namespace):
        before = self._without_failure(self._client.read_object(found))
        if self._is_dry and not has_namespace and kinds.KINDS[found["kind"]].is_namespaced:
            after = found  # the cluster has nowhere to try it
        else:
            after = self._applied(before, found)
        old, new = compare.difference(before, {**after, "kind": found["kind"]})
        if before is None:
            self.created.append(kinds.label(found))
        elif old != new:
            self.updated.append(kinds.label(found))
        else:
            return
        self._note(found, {} if before is None else old, new)

    def _without_failure(self, before):
        """A Job that failed is recreated, since it does not run again by itself."""
        if before is None or before["kind"] != rollout.JOB or not rollout.is_hopeless(before):
            return before
        if not self._is_dry:
            self._client.remove(before)
        return None

    def _applied(self, before, found):
        kept = rollout.left_to_scaling(before, found, client.FIELD_MANAGER)
        if kept and not self._is_dry:
            self._client.apply(kept, manager=client.SCALING_MANAGER)
        after = self._client.apply(found, self._is_dry)
        if kept and self._is_dry:
            after["spec"]["replicas"] = kept["spec"]["replicas"]  # as it will be kept
        return after

    def _there(self):
        selector = f"{labels.selector(labels.MANAGED_BY)},{self._whose}"
        used = {found["kind"] for found in self._wanted}
        listed = (
            found
            for kind, known in kinds.KINDS.items()
            if known.is_namespaced and not known.keeps_data
            for found in self._client.list_objects(
                kind, self._namespace, selector, may_be_closed=kind not in used
            )
        )
        return sorted(listed, key=kinds.place_of)

    def _remove(self, found):
        if not self._is_dry:
            self._client.remove(found)
        self.removed.append(kinds.label(found))
        self._note(found, compare.difference(found, None)[0], {})

    def _note(self, found, before, after):
        label = kinds.label(found)
        self.diff.append(
            {"before": before, "after": after, "before_header": label, "after_header": label}
        )

    def _wait(self, found):
        while not self._is_dry:
            current = self._client.read_object(found) or found
            waits_for = rollout.missing(current)
            if not waits_for:
                break
            if rollout.is_hopeless(current) or time.monotonic() > self._ends_at:
                raise self._failed(found, waits_for)
            time.sleep(POLL_SECONDS)

    def _failed(self, found, waits_for):
        reasons = self._reasons(found)
        return TimedOut(
            f"{kinds.label(found)}: {waits_for} ({'; '.join(reasons) or 'no pod says why'})",
            f"every rollout within {self._seconds} s",
            "correct what the pods say and run this again; those of before still serve where there "
            "are any, and nothing was removed",
        )

    def _reasons(self, found):
        reasons = []
        selector = labels.selector(rollout.pods_of(found))
        for pod in self._client.pods(self._namespace, selector):
            reason, has_ended = rollout.trouble(pod)
            if reason:
                name = pod["metadata"]["name"]
                log = self._client.log(self._namespace, name, LOG_LINES, has_ended).strip()
                reasons.append(f"pod {name}: {reason}" + (f"\n{log}\n" if log else ""))
        return reasons


def _others(owners):
    """What selects the objects of all owners but these."""
    return f"{LABEL_OWNER} notin ({','.join(owners)})" if owners else LABEL_OWNER


def main():
    module = QuietModule(
        argument_spec={
            **kubeconfig.ARGUMENTS,
            "namespace": {"type": "str", "required": True},
            "owner": {"type": "str"},
            "except_owners": {"type": "list", "elements": "str"},
            "remove_namespace": {"type": "bool", "default": False},
            "objects": {"type": "list", "elements": "dict", "no_log": False},
            "wait_seconds": {"type": "int", "default": 300},
            "wait_for_rollouts": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
        required_one_of=[("owner", "except_owners")],
        mutually_exclusive=[("owner", "except_owners"), ("objects", "except_owners")],
    )
    if kubeconfig.yaml is None:
        module.fail_json(msg=missing_required_lib("PyYAML"))
    path, objects = module.params["kubeconfig"], module.params["objects"] or []
    module.params["objects"] = None  # the result repeats the arguments, and Secrets are among them
    try:
        access = kubeconfig.read(path, module.params["context"])
        owned = Owned(client.ClusterClient(access), objects, module.params, module.check_mode)
        owned.apply()
    except ServiceError as error:
        fail(module, error)
    module.exit_json(
        changed=owned.changed,
        created=owned.created,
        updated=owned.updated,
        removed=owned.removed,
        diff=owned.diff,
    )


if __name__ == "__main__":
    main()
