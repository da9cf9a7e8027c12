#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: service_state
short_description: Writes the files of services and says which of their containers have to change
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Writes configuration and secrets as M(intranet.mcp.files) does, then compares what the engine
    runs with what it should run. Containers are left as they are.
  - One call for both, since most runs change nothing, and starting modules is most of their work.
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - One diff a path. Of secrets it says no more than that they differ.
  idempotent:
    support: full
options:
  owner:
    description: The role whose services they are. Containers of other owners are left out.
    type: str
    required: true
  specs:
    description:
      - What the filter P(intranet.mcp.service_specs#filter) makes of the owner's definitions. It
        holds secrets, which appear in no output, diff or log.
    type: list
    elements: dict
    required: true
  directories:
    description: Directories besides those of the services, with C(path) and C(mode).
    type: list
    elements: dict
    default: []
  container_prefix:
    description: What names of this platform's containers begin with. Others are left out.
    type: str
    required: true
  list_host:
    description: Whether to return RV(containers) and RV(host_networks), of every owner.
    type: bool
    default: false
  may_lack_engine:
    description: Whether a host without an engine is one on which nothing runs yet, and no failure.
    type: bool
    default: false
  defined:
    description: RV(defined) of owners that were asked before, to be returned with this one's.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: See what has to change
  intranet.mcp.service_state:
    owner: redis
    specs: "{{ [redis_service] | intranet.mcp.service_specs(context) }}"
    container_prefix: intranet-
  check_mode: true
  register: service_plan
"""

RETURN = r"""
create:
  description: Parameters of containers to be created or recreated, each with the C(reason).
  returned: success
  type: list
  elements: dict
  sample:
    - name: intranet-redis
      image: redis:8
      reason: definition or configuration changed
stop:
  description: Names of containers that first hand over to another host, and are then recreated.
  returned: success
  type: list
  elements: str
  sample: [intranet-keepalived]
remove:
  description: Names of the owner's containers that are no longer defined.
  returned: success
  type: list
  elements: str
  sample: [intranet-tool-old]
unchanged:
  description: Names of containers that stay as they are.
  returned: success
  type: list
  elements: str
  sample: [intranet-redis]
networks:
  description: Networks that are not there yet, with C(name) and C(interface).
  returned: success
  type: list
  elements: dict
  sample:
    - {name: intranet-mcp-redis, interface: redis-1f0a3c}
containers:
  description: Containers of the platform on this host, with C(Names) and C(Labels).
  returned: with O(list_host)
  type: list
  elements: dict
  sample:
    - Names: [/intranet-redis]
      Labels: {intranet.mcp.owner: redis}
host_networks:
  description: All networks of the engine, with C(Name) and C(Labels).
  returned: with O(list_host)
  type: list
  elements: dict
  sample:
    - Name: intranet-mcp-redis
      Labels: {intranet.mcp.network: intranet-mcp}
has_engine:
  description: Whether there is an engine to ask.
  returned: success
  type: bool
  sample: true
defined:
  description:
    - For each owner that was asked on this host, what its services are, by name. Contents of files
      are checksums, and secrets are left out.
  returned: success
  type: dict
  sample:
    redis:
      redis: {name: redis, hash: 9f86d0, image: "redis:8", files: {}}
changed_paths:
  description: Paths that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/intranet-mcp/services/redis/config/redis.conf]
removed_paths:
  description: Paths that were removed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/intranet-mcp/services/redis/config/old.conf]
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: engine
    found: the Docker engine at /var/run/docker.sock does not answer GET /networks (timed out)
    expected: an answer within 30 s
    action: start the engine, look at the host's load, or run this as root
"""

import json
import os
import re
import urllib.parse

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError, fail
from ansible_collections.intranet.mcp.plugins.module_utils.engine import definition
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import SOCKET, Engine
from ansible_collections.intranet.mcp.plugins.module_utils.host.files import Files, QuietModule

NO_ENGINE = {"containers": [], "images": [], "networks": []}


class State:
    """The files and containers of one owner's services on this host."""

    def __init__(self, module, specs):
        self.params, self.is_dry = module.params, module.check_mode
        self.specs = specs

    def run(self):
        """Write the files, then compare."""
        written = Files(self.wanted(), self.is_dry).run()
        has_engine = os.path.exists(SOCKET) or not self.params["may_lack_engine"]
        host = self.read() if has_engine else NO_ENGINE
        owner = self.params["owner"]
        return {
            **written,
            **(self.listed(host) if self.params["list_host"] else {}),
            **definition.plan(self.specs, host, owner),
            "has_engine": has_engine,
            "defined": {**self.params["defined"], owner: definition.summary(self.specs)},
        }

    def wanted(self):
        """The files of all services, as `Files` takes them."""
        owned = {"owner": None, "group": None, "exclusive": False}
        places = [{**owned, **directory} for directory in self.params["directories"]]
        found = {
            kind: [entry for spec in self.specs for entry in spec[kind]]
            for kind in ("directories", "files", "secrets")
        }
        return {**found, "directories": places + found["directories"], "absent": []}

    def listed(self, host):
        """What is on this host, whoever owns it."""
        return {
            "containers": [
                {key: found[key] for key in ("Names", "Labels")} for found in host["containers"]
            ],
            "host_networks": [
                {key: found.get(key) for key in ("Name", "Labels")} for found in host["networks"]
            ],
        }

    def read(self):
        """What the engine has of this platform: containers, and all images and networks."""
        names = "^/" + re.escape(self.params["container_prefix"])
        filters = json.dumps({"label": [definition.LABEL_OWNER], "name": [names]})
        engine = Engine(SOCKET)
        return {
            "containers": engine.json(
                f"/containers/json?all=1&filters={urllib.parse.quote(filters)}"
            ),
            "images": engine.json("/images/json"),
            "networks": engine.json("/networks"),
            "api": engine.json("/version")["ApiVersion"],
        }


def main():
    """Run the module."""
    dictionaries = {"type": "list", "elements": "dict"}
    module = QuietModule(
        argument_spec={
            "owner": {"type": "str", "required": True},
            "specs": {**dictionaries, "required": True, "no_log": False},  # hidden below
            "directories": {**dictionaries, "default": []},
            "container_prefix": {"type": "str", "required": True},
            "list_host": {"type": "bool", "default": False},
            "may_lack_engine": {"type": "bool", "default": False},
            "defined": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    # The result repeats the arguments.
    specs, module.params["specs"] = module.params["specs"], []
    try:
        result = State(module, specs).run()
    except ServiceError as error:
        fail(module, error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
