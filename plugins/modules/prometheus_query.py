#!/usr/bin/python
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_query
short_description: What a Prometheus measured
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Asks a Prometheus several queries about the same time, and which alerts it raises, in one task.
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
    details:
      - Runs the same way, since it only reads.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  url:
    description: Base address of Prometheus.
    type: str
    required: true
  queries:
    description: What to ask.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Under which name the answer is returned.
        type: str
        required: true
      query:
        description: The query, in PromQL.
        type: str
        required: true
      is_range:
        description:
          - Whether it is evaluated every O(step_seconds) of O(span_seconds), and not only at their
            end.
        type: bool
        default: false
  span_seconds:
    description: How far back ranges reach, in seconds.
    type: int
    default: 86400
  step_seconds:
    description: Time between two points of a range, in seconds.
    type: int
    default: 300
  timeout:
    description: How long Prometheus may take for one query, in seconds.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Ask which targets are down, and for the gateway's load of a day
  intranet.mcp.prometheus_query:
    url: http://127.0.0.1:9090
    queries:
      - {name: down, query: up == 0}
      - {name: load, query: 'sum(rate(mcp_gateway_requests_total[10m]))', is_range: true}
  register: measured
"""

RETURN = r"""
at:
  description: The end of the time that was asked about, in seconds since 1970.
  returned: success
  type: float
  sample: 1795939200.0
answers:
  description: >-
    The series of each query, by its name. Each has C(labels), and C(points), pairs of a time and a
    value, which is null where Prometheus has no number.
  returned: success
  type: dict
  sample:
    down: [{labels: {service: redis}, points: [[1795939200.0, 0.0]]}]
alerts:
  description: Alerts that are pending or firing, as Prometheus tells them.
  returned: success
  type: list
  elements: dict
  sample:
    - state: firing
      activeAt: "2026-11-29T07:00:00Z"
      value: "0"
      labels: {alertname: RedisDown, host: one}
      annotations: {summary: Redis on one does not serve}
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: unreachable
    found: Prometheus at http://127.0.0.1:9090 cannot be reached ([Errno 111] Connection refused)
    expected: a service that accepts connections
    action: start Prometheus, check the firewall between here and there, or correct url
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError, fail
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils.prometheus.client import (
    PrometheusClient,
)


def measured(params):
    """Return what the task asks for."""
    http = HttpClient(params["url"], "Prometheus", "url", timeout=params["timeout"])
    client, now = PrometheusClient(http), time.time()
    answers = {
        asked["name"]: client.over(
            asked["query"], now - params["span_seconds"], now, params["step_seconds"]
        )
        if asked["is_range"]
        else client.at(asked["query"], now)
        for asked in params["queries"]
    }
    return {"at": now, "answers": answers, "alerts": client.alerts()}


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "queries": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "query": {"type": "str", "required": True},
                    "is_range": {"type": "bool", "default": False},
                },
            },
            "span_seconds": {"type": "int", "default": 86400},
            "step_seconds": {"type": "int", "default": 300},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        result = measured(module.params)
    except ServiceError as error:
        fail(module, error)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
