# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The kinds of probes, and running many of them at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.intranet.mcp.plugins.module_utils.common import parallel
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    Refused,
    ServiceError,
)
from ansible_collections.intranet.mcp.plugins.module_utils.engine import docker
from ansible_collections.intranet.mcp.plugins.module_utils.examine import (
    intruders,
    probe_cluster,
    probe_data,
    probe_external,
    probe_host,
    probe_isolation,
    probe_logs,
    probe_monitoring,
    probe_room,
    probe_service,
    probe_site,
    probe_speed,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    FAILED,
    NOT_APPLICABLE,
    UNKNOWN,
    Finding,
)
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import chat
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import probe as mcp_probe

# Options that hold a key: the probe gives a name, the module's `keys` the value.
KEY_OPTIONS = ("key", "api_key", "revoked_key")


@dataclass(frozen=True)
class Kind:
    """One kind of probe: what carries it out, and the options it takes."""

    run: Callable[[str, dict[str, Any]], list[Finding]]
    arguments: dict[str, Any]
    rules: dict[str, Any] = field(default_factory=dict)


_NUMBERS = {"type": "list", "elements": "int", "required": True}
_WORDS = {"type": "list", "elements": "str", "required": True}
_TEXT = {"type": "str", "required": True}
_SOCKET = {"socket": {"type": "path", "default": docker.SOCKET}}


def _not_applicable(name: str, params: dict[str, Any]) -> list[Finding]:
    return [Finding(name, params["because"], status=NOT_APPLICABLE)]


KINDS = {
    "http": Kind(
        probe_service.http,
        {
            "url": _TEXT,
            "service": {"type": "str", "default": "the service"},
            "status": {"type": "int", "default": 200},
            "contains": {"type": "str", "default": ""},
            "location": {"type": "str", "default": ""},
            "ca": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 20},
        },
    ),
    "sign_on": Kind(
        probe_service.sign_on,
        {
            "url": _TEXT,
            "service": {"type": "str", "default": "the portal"},
            "ca": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 20},
        },
    ),
    "page": Kind(
        probe_service.page,
        {
            "url": _TEXT,
            "user": _TEXT,
            "key": {"type": "str", "required": True, "no_log": True},
            "service": {"type": "str", "default": "the load balancer"},
            "ca": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 20},
        },
    ),
    "certificate": Kind(
        probe_service.certificate,
        {
            "url": _TEXT,
            "days": {"type": "int", "default": 21},
            "ca": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 10},
        },
    ),
    "gpu": Kind(
        probe_service.gpu,
        {
            "url": _TEXT,
            "model": {"type": "str", "default": ""},
            "embeds_only": {"type": "bool", "default": False},
            "context": {"type": "int", "default": 0},
            "timeout": {"type": "int", "default": 120},
        },
    ),
    "llm": Kind(probe_service.llm, chat.ARGUMENTS),
    "mcp": Kind(probe_service.mcp, mcp_probe.ARGUMENTS, mcp_probe.RULES),
    "room": Kind(probe_room.room, probe_room.ARGUMENTS),
    "first_word": Kind(probe_speed.first_word, probe_speed.ARGUMENTS),
    "disk": Kind(
        probe_host.free_space, {"paths": _WORDS, "free_mb": {"type": "int", "required": True}}
    ),
    "clock": Kind(
        probe_host.time_of_day,
        {
            "control_time": {"type": "float", "required": True},
            "tolerance_seconds": {"type": "int", "default": 60},
        },
    ),
    "ports": Kind(
        probe_host.ports,
        {
            "seen_by": {"type": "str", "choices": ["users", "other_networks"], "required": True},
            "managed": _NUMBERS,
            "flows": {"type": "list", "elements": "dict", "required": True},
            "address": {"type": "str", "default": ""},
            "prefix": _TEXT,
            **_SOCKET,
        },
    ),
    "matrix": Kind(
        probe_host.matrix, {"neighbours": {"type": "list", "elements": "dict", "required": True}}
    ),
    "isolation": Kind(
        probe_isolation.isolation,
        {
            "contacts": {"type": "list", "elements": "dict", "required": True},
            "managed": _NUMBERS,
            "neighbours": {"type": "list", "elements": "dict", "default": []},
            "prefix": _TEXT,
            **_SOCKET,
        },
    ),
    "holders": Kind(
        probe_host.holders,
        {
            "addresses": _WORDS,
            "listings": {"type": "dict", "required": True},
            "container": _TEXT,
        },
    ),
    "containers": Kind(
        probe_host.as_defined,
        {
            "defined": {"type": "list", "elements": "dict", "required": True},
            "files": {"type": "dict", "default": {}},
            "prefix": _TEXT,
            **_SOCKET,
        },
    ),
    "postgres": Kind(
        probe_data.postgres,
        {
            "container": _TEXT,
            "user": _TEXT,
            "database": _TEXT,
            "pool_sum": {"type": "int", "required": True},
            "reserve": {"type": "int", "default": 10},
            **_SOCKET,
        },
    ),
    "redis": Kind(
        probe_data.redis, {"container": _TEXT, "port": {"type": "int", "required": True}, **_SOCKET}
    ),
    "postgres_cluster": Kind(
        probe_data.postgres_cluster,
        {
            "url": _TEXT,
            "name": _TEXT,
            "members": _WORDS,
            "container": _TEXT,
            "lag_mb": {"type": "int", "default": 16},
            "timeout": {"type": "int", "default": 10},
        },
    ),
    "etcd": Kind(
        probe_data.etcd,
        {"container": _TEXT, "members": {"type": "int", "required": True}, **_SOCKET},
    ),
    "redis_cluster": Kind(
        probe_data.redis_cluster,
        {
            "container": _TEXT,
            "sentinel": _TEXT,
            "port": {"type": "int", "required": True},
            "sentinel_port": {"type": "int", "required": True},
            "members": {"type": "int", "required": True},
            **_SOCKET,
        },
    ),
    "migrations": Kind(
        probe_data.applied,
        {"container": _TEXT, "argv": {"type": "list", "elements": "str"}, **_SOCKET},
    ),
    "command": Kind(
        probe_host.command,
        {"container": _TEXT, "argv": _WORDS, "contains": {"type": "str", "default": ""}, **_SOCKET},
    ),
    "external": Kind(probe_external.answers, probe_external.ARGUMENTS),
    "site": Kind(probe_site.answers, probe_site.ARGUMENTS),
    "cluster": Kind(probe_cluster.examined, probe_cluster.ARGUMENTS),
    "monitoring": Kind(probe_monitoring.watched, probe_monitoring.ARGUMENTS),
    "logs": Kind(probe_logs.arrive, probe_logs.ARGUMENTS),
    "litellm_intruder": Kind(intruders.litellm, intruders.LITELLM_ARGUMENTS),
    "gateway_intruder": Kind(intruders.gateway, intruders.GATEWAY_ARGUMENTS),
    "intruder_ports": Kind(intruders.ports, intruders.PORTS_ARGUMENTS),
    "not_applicable": Kind(_not_applicable, {"because": _TEXT}),
}


def check(probe: dict[str, Any], keys: dict[str, str]) -> dict[str, Any]:
    """Return a probe with its options validated, defaults filled in and keys in their place."""
    kind = KINDS[probe["kind"]]
    options = dict(probe["options"])
    for option in KEY_OPTIONS:
        if option in options and option in kind.arguments:
            if options[option] not in keys:
                raise Refused(
                    f"probe {probe['name']!r}: {option} is not the name of a key in keys",
                    f"one of {', '.join(sorted(keys)) or 'none'}",
                    "name the key here and give its value in keys",
                )
            options[option] = keys[options[option]]
    rules = {name: value for name, value in kind.rules.items() if name != "mutually_exclusive"}
    validator = ArgumentSpecValidator(kind.arguments, kind.rules.get("mutually_exclusive"), **rules)
    validated = validator.validate(options)
    if validated.error_messages:
        raise Refused(
            f"probe {probe['name']!r} ({probe['kind']}): {'; '.join(validated.error_messages)}",
            f"options of that kind: {', '.join(kind.arguments)}",
            "correct its options",
        )
    return {**probe, "options": validated.validated_parameters}


def run_all(probes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Carry out checked probes at once; return the rows of all, in the order given."""
    outcomes = parallel.run_all([functools.partial(_rows, probe) for probe in probes])
    rows = []
    for probe, outcome in zip(probes, outcomes):  # noqa: B905  targets may run Python 3.9
        if isinstance(outcome, parallel.Crashed):
            action = "this is a fault of the probe itself: report it, with this line"
            crashed = Finding(probe["name"], str(outcome), "a verdict", action, status=UNKNOWN)
            outcome = [crashed.as_row()]
        # A probe of several models says of each row which one it is about.
        rows += [
            {"group": probe["group"], **row, "part": row["part"] or probe.get("part")}
            for row in outcome
        ]
    return rows


def _rows(probe: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        found = KINDS[probe["kind"]].run(probe["name"], probe["options"])
    except ServiceError as error:
        # A probe that may not run (no root, no namespaces) has seen no fault.
        status = UNKNOWN if isinstance(error, Refused) else FAILED
        found = [Finding.of(probe["name"], error, status)]
    if not found:
        silent = "the probe returned no result"
        found = [Finding(probe["name"], silent, "a verdict", "check its options", status=UNKNOWN)]
    return [finding.as_row() for finding in found]
