#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_model
short_description: A model in Ollama
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Makes sure that Ollama has a model, from the first of several sources that works, or does not
    have it.
  - A model that is there already stays as it is while it satisfies any of the O(sources). A model
    made from a file or a Modelfile satisfies its source only while weights, template, system
    prompt and parameters are those of the source.
  - C(changed) is true only when the digest that Ollama lists for the model changed. Loading a model
    into memory (O(keep_loaded)) is not a change.
extends_documentation_fragment:
  - intranet.mcp.attributes
  - intranet.mcp.ollama
attributes:
  check_mode:
    support: full
    details:
      - The registry is not asked, so with O(update=true) a newer model there is not foreseen.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: The model's name in Ollama. Without a tag, V(:latest) is meant.
    type: str
    required: true
  state:
    description: Whether the model is to be there.
    type: str
    choices: [present, absent]
    default: present
  sources:
    description:
      - Where the model comes from. Tried in this order, the first that works wins.
      - Without it, the model is pulled by its name.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - V(registry) pulls.
          - V(file) sends a GGUF file that lies on the host that runs the module.
          - V(modelfile) does what C(ollama create) does.
        type: str
        choices: [registry, file, modelfile]
        required: true
      model:
        description: V(registry), the name there. Default is O(name).
        type: str
      registry:
        description: V(registry), host and port of a mirror. Without it, Ollama's public registry.
        type: str
      insecure:
        description: V(registry), speak plain HTTP to it.
        type: bool
        default: false
      path:
        description: V(file), the GGUF file. Once the model is made it may be deleted.
        type: path
      checksum:
        description:
          - V(file), the file's C(sha256:) checksum.
          - Refuses any other content, and a run that finds the model in place need not read the
            file (it must with O(sources[].pooling_type) and O(sources[].context)).
        type: str
      template:
        description: V(file), the prompt template in Go's syntax. Without it, Ollama chooses one.
        type: str
      system:
        description: V(file), the system prompt.
        type: str
      parameters:
        description: V(file), parameters such as C(num_ctx), C(temperature), C(stop).
        type: dict
      pooling_type:
        description:
          - V(file), makes an embedding model of the weights by setting the GGUF value
            C(<architecture>.pooling_type). The file itself stays as it is.
        type: str
        choices: [none, mean, cls, last, rank]
      context:
        description:
          - V(file), tokens that the weights are to read. Where they were trained for fewer, YaRN
            scaling is set in the header that Ollama gets. The file itself stays as it is.
        type: int
      content:
        description:
          - V(modelfile), its text. C(FROM) names a GGUF file on this host or a model that Ollama
            has; a missing model is not fetched.
        type: str
  digest:
    description:
      - The digest that Ollama must list for the model, with or without C(sha256:).
      - When another one arrives the module fails, and the model is as it was before.
    type: str
  update:
    description: Whether to ask a V(registry) source for a newer model though there is one already.
    type: bool
    default: false
  keep_loaded:
    description:
      - Whether the model is to be in memory for good. Loaded when it is not, and checked.
      - Ollama loses this when it restarts.
    type: bool
    default: false
  context:
    description:
      - Tokens of context it is loaded with by O(keep_loaded), and that C(context) returns.
      - Without it, the C(num_ctx) of the model's own parameters, else what its weights were trained
        for, at most O(context_limit).
      - More than the weights were trained for is refused, because Ollama would load less and say so
        nowhere.
    type: int
  context_limit:
    description: The most that a model without O(context) gets, where its parameters say nothing.
    type: int
  parallel:
    description: Requests that a loaded model answers at once; each has its own O(context).
    type: int
    default: 1
  memory_mb:
    description:
      - Memory that Ollama has, in MiB. A model whose weights and context take more is refused with
        the numbers, before it is loaded.
    type: int
  on_this_host:
    description:
      - Whether Ollama runs on the host that runs the module. Otherwise nothing is compared with the
        memory of that host.
    type: bool
    default: true
  prompt_cache_mb:
    description:
      - What a model's server may keep, besides, of conversations that wait, in MiB. With
        O(memory_mb) a model is also refused where the host has less than both together.
    type: int
    default: 0
  load_timeout:
    description: Seconds that loading may take.
    type: int
    default: 300
  stall_seconds:
    description: Seconds without a new byte after which a pull counts as stalled.
    type: int
    default: 60
  retries:
    description: How often to resume a pull that stalled or broke off.
    type: int
    default: 3
  models_path:
    description:
      - Directory of Ollama's store on this host. When given, free space is checked before weights
        are fetched or sent.
    type: path
  progress_file:
    description: File that receives a line now and then. Set by the action plugin, not by hand.
    type: path
"""

EXAMPLES = r"""
- name: Pull a model, from the mirror first
  intranet.mcp.ollama_model:
    name: qwen3:8b
    sources:
      - type: registry
        registry: mirror.example.internal:5000
      - type: registry
    keep_loaded: true

- name: Pull what is pinned, or use the weights that were carried in
  intranet.mcp.ollama_model:
    name: smollm2:135m
    sources:
      - type: registry
      - type: file
        path: /var/lib/intranet-mcp/artifacts/smollm2-135m.gguf
        checksum: sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
        template: "{{ lookup('file', 'smollm2.tmpl') }}"
        parameters:
          num_ctx: 8192

- name: The same weights as embedding model
  intranet.mcp.ollama_model:
    name: smollm2-embed
    sources:
      - type: file
        path: /var/lib/intranet-mcp/artifacts/smollm2-135m.gguf
        pooling_type: mean

- name: A model with a longer context
  intranet.mcp.ollama_model:
    name: coder
    sources:
      - type: modelfile
        content: |
          FROM qwen3:8b
          PARAMETER num_ctx 32768

- name: Remove a model
  intranet.mcp.ollama_model:
    name: llama2
    state: absent
"""

RETURN = r"""
name:
  description: The model's name as Ollama lists it.
  returned: success
  type: str
  sample: smollm2:135m
digest:
  description:
    - The digest that Ollama lists. Empty without a model, and in check mode before one is made.
  returned: success
  type: str
  sample: 069e5892d0414b8c8c7b967a5323132c68d606848484cc4bc40d0a5f58f8f969
size:
  description: Bytes the model takes.
  returned: success
  type: int
  sample: 98362709
capabilities:
  description: What Ollama says the model can do.
  returned: success
  type: list
  elements: str
  sample: [completion, tools]
context:
  description:
    - Tokens of context it is to be used with. 0 without a model, and where Ollama does not say.
  returned: success
  type: int
  sample: 65536
memory:
  description: Bytes that weights and context take once it is loaded, as far as its header tells.
  returned: success
  type: int
  sample: 1608409088
source:
  description:
    - The source that was used, or in check mode would be used first. Empty when nothing was to do.
  returned: success
  type: str
  sample: registry
failed_sources:
  description: Sources that were tried before, and why they did not work.
  returned: success
  type: list
  elements: dict
  sample:
    - type: registry
      reason: unreachable
      message: >-
        Ollama says of qwen3:8b: pull model manifest: no such host, expected a registry that
        Ollama's host can reach: set the source's registry to a mirror, or add a file source
loaded:
  description: Whether the model is in memory for good. Always false without O(keep_loaded).
  returned: success
  type: bool
  sample: true
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: unreachable
    found: Ollama at http://127.0.0.1:11434 cannot be reached ([Errno 111] Connection refused)
    expected: a service that accepts connections
    action: start Ollama, check the firewall between here and there, or correct ollama_url
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.diff import Difference
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    NotReady,
    Refused,
    ServiceError,
    fail,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils.common.progress import Progress
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import client, memory
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import sources as ollama_sources
from ansible_collections.intranet.mcp.plugins.module_utils.ollama.gguf import POOLING_TYPES

FIRST_YEAR_OF_FOREVER = 2200  # keep_alive -1 is reported as about 292 years


class OllamaModel:
    """Brings one model from its current to its desired state."""

    def __init__(self, module):
        self.module, self.params = module, module.params
        self.name = client.canonical_name(self.params["name"])
        connection = ("validate_certs", "ca_path", "timeout")
        self.client = client.OllamaClient(
            HttpClient(
                self.params["ollama_url"],
                "Ollama",
                "ollama_url",
                **{name: self.params[name] for name in connection},
            )
        )
        self.report = Progress(self.params["progress_file"]).line
        self.destination = ollama_sources.Destination(
            self.client, self.name, self.params, self.report
        )
        self.difference = Difference()
        self.failed_sources = []
        self.used = ""

    def run(self):
        """Do what the task asks and return its result."""
        before = self.read()
        if self.params["state"] == "absent":
            self._remove(before)
        else:
            self._provide(before)
        after = before if self.module.check_mode else self.read()
        facts = self._facts(after) if self.params["state"] == "present" else client.NO_FACTS
        return {**self._result(before, after, self._keep_loaded(after, facts)), **facts}

    def read(self):
        """Return Ollama's entry of the model, empty when there is none."""
        return self.client.find(self.name) or {}

    def _facts(self, entry):
        """Return what the model can do, how much it may read at once, and what that costs."""
        if not entry:
            return client.NO_FACTS
        shown, limits = self.client.show(self.name), self.params
        context = client.context_of(self.name, shown, limits["context"], limits["context_limit"])
        demand = memory.demand(
            self.name, entry["size"], shown, context, limits["parallel"], bool(limits["context"])
        )
        kept_mb = memory.of_conversations(shown, limits["prompt_cache_mb"])
        host_mb = memory.of_host() if limits["on_this_host"] else None
        there = memory.Limits(limits["memory_mb"], kept_mb, host_mb)
        return {
            "capabilities": shown.get("capabilities") or [],
            "context": context,
            "memory": memory.check(demand, there),
        }

    def desired(self):
        """Return the sources; any of them describes what the model may be."""
        return ollama_sources.sources(self.destination, self.params["sources"])

    def _remove(self, before):
        self.difference.compare("digest", before.get("digest", ""), "")
        if before and not self.module.check_mode:
            self.client.delete(self.name)

    def _provide(self, before):
        sources = self.desired()
        show = self.client.show(self.name) if before else {}
        may_stay = before and self.destination.accepts(before.get("digest"))
        if may_stay and any(self._is_satisfied(source, show) for source in sources):
            return
        self.apply(sources, show)

    def _is_satisfied(self, source, show):
        try:
            return source.difference(show).is_empty
        except ServiceError:
            return False  # apply says why

    def apply(self, sources, show):
        """Use the first source that works."""
        for source in sources:
            try:
                self.difference = source.difference(show)
                if not self.module.check_mode:
                    source.apply()
            except ServiceError as error:
                failure = {"type": source.kind, "reason": error.reason, "message": str(error)}
                self.failed_sources.append(failure)
                if len(self.failed_sources) == len(sources):
                    raise self._all_failed(error) from error
                continue
            self.used = source.kind
            return

    def _all_failed(self, last):
        if len(self.failed_sources) == 1:
            return last
        tried = "; ".join(f"{f['type']}: {f['message']}" for f in self.failed_sources)
        return type(last)(
            f"none of the {len(self.failed_sources)} sources of {self.name} works ({tried})",
            "one that does",
            "make one of them work, or add another",
        )

    def _keep_loaded(self, entry, facts):
        if not self.params["keep_loaded"] or self.params["state"] == "absent":
            return False
        if self.module.check_mode or self._is_loaded(entry, facts["context"]):
            return True
        self.report(f"load: {self.name}")
        embeds_only = "completion" not in (facts["capabilities"] or ["completion"])
        context, timeout = facts["context"], self.params["load_timeout"]
        self.client.load(self.name, embeds_only, timeout, context=context)
        if not self._is_loaded(entry, context):
            raise NotReady(
                f"{self.name} did not stay in memory",
                "a loaded model (keep_loaded)",
                "check the host's memory and OLLAMA_MAX_LOADED_MODELS, and read Ollama's log",
            )
        return True

    def _is_loaded(self, entry, context):
        running = self.client.loaded(self.name) or {}
        year = re.match(r"\d+", running.get("expires_at", ""))
        lasts = year is not None and int(year.group()) >= FIRST_YEAR_OF_FOREVER
        # An Ollama that does not say how much it loaded is believed.
        is_long_enough = running.get("context_length", context) >= context
        return lasts and is_long_enough and running.get("digest") == entry.get("digest")

    def _result(self, before, after, loaded):
        if self.module.check_mode:
            changed = self._would_change(before)
        else:
            changed = before.get("digest") != after.get("digest")
            self.difference.compare("digest", before.get("digest", ""), after.get("digest", ""))
        return {
            "changed": changed,
            "name": self.name,
            "digest": after.get("digest", ""),
            "size": after.get("size", 0),
            "source": self.used,
            "failed_sources": self.failed_sources,
            "loaded": loaded,
            "diff": self.difference.as_diff() if changed else {"before": {}, "after": {}},
        }

    def _would_change(self, before):
        if self.params["state"] == "absent":
            return bool(before)
        is_update = self.params["update"] and self.used == "registry"
        if is_update and self.destination.accepts(before.get("digest")):
            return not before  # whether the registry has a newer one is not known
        return bool(self.used)


def source_options():
    """Return the argument spec of one source."""
    return {
        "type": {"type": "str", "required": True, "choices": list(ollama_sources.KINDS)},
        "model": {"type": "str"},
        "registry": {"type": "str"},
        "insecure": {"type": "bool", "default": False},
        "path": {"type": "path"},
        "checksum": {"type": "str"},
        "template": {"type": "str"},
        "system": {"type": "str"},
        "parameters": {"type": "dict"},
        "pooling_type": {"type": "str", "choices": list(POOLING_TYPES)},
        "context": {"type": "int"},
        "content": {"type": "str"},
    }


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "sources": {
                "type": "list",
                "elements": "dict",
                "options": source_options(),
                "required_if": [("type", "file", ["path"]), ("type", "modelfile", ["content"])],
            },
            "digest": {"type": "str"},
            "update": {"type": "bool", "default": False},
            "keep_loaded": {"type": "bool", "default": False},
            "context": {"type": "int"},
            "context_limit": {"type": "int"},
            "parallel": {"type": "int", "default": 1},
            "memory_mb": {"type": "int"},
            "on_this_host": {"type": "bool", "default": True},
            "prompt_cache_mb": {"type": "int", "default": 0},
            "load_timeout": {"type": "int", "default": 300},
            "stall_seconds": {"type": "int", "default": 60},
            "retries": {"type": "int", "default": 3},
            "models_path": {"type": "path"},
            "progress_file": {"type": "path"},
            "ollama_url": {"type": "str", "default": "http://127.0.0.1:11434"},
            "validate_certs": {"type": "bool", "default": True},
            "ca_path": {"type": "path"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    try:
        if not module.params["name"].strip():
            raise Refused("name is empty", "a model's name", "name the model")
        result = OllamaModel(module).run()
    except ServiceError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
