# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Checks inventory and control node, lets the module check the host, and reports all at once."""

from __future__ import annotations

import contextlib
import os
import time

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.examine import run_lock
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.examine.preflight_models import (
    ARGUMENTS as OLLAMA_ARGUMENTS,
)
from ansible_collections.intranet.mcp.plugins.module_utils.images.bundle import contents
from ansible_collections.intranet.mcp.plugins.module_utils.images.registry import authority_problem
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import KUBERNETES
from ansible_collections.intranet.mcp.plugins.module_utils.topology.shared_address import sharing
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import port_conflicts
from ansible_collections.intranet.mcp.plugins.plugin_utils.cluster import decisions as clusters
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import inventory
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.external import (
    external_problems,
    required_groups,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.preflight_report import report
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.secrets_places import (
    places_read_as_inventory,
    secret_modes,
    secrets_places,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.sign_on import sign_on_problems
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.sites import site_problems
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.this_run import (
    started_now,
    this_run,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.variables import (
    variable_problems,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.versions import version_problems
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import own_credentials
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import problems as monitoring
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import plan as people
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import (
    UNUSABLE,
    external_from,
    reason_of,
    topology_from,
)

MODULE = "intranet.mcp.preflight"


class ActionModule(ActionBase):
    """One task, one report."""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = {**self._task.args, "owner": this_run()}
        if arguments.get("state") == "released":
            return self._execute_module(
                module_name=MODULE, module_args=arguments, task_vars=task_vars
            )
        problems, warned = [], []
        if arguments.get("state") != "locked":
            # Before anything else is resolved: a definition of the site's may ask for the secret.
            arguments["data"] = without_secret(arguments, task_vars, self._templar.template)
            problems, warned = self._here(arguments, task_vars)
            arguments["ports"], unusable = self._ports(task_vars)
            problems += unusable
            problems += leave_out_unreadable(arguments, problems)
            arguments["sources"] = [from_here(way) for way in arguments.get("sources") or []]
            arguments["registry_ca"], unread = authorities(arguments.get("registry_ca") or {})
            problems += unread
        result = self._on_host(arguments, task_vars, without_lock=bool(problems))
        if "problems" not in result:  # the module itself failed
            return result
        problems += [Finding(**found) for found in result["problems"]]
        if problems:
            # The text alone: Ansible prints every key of a failed result.
            text = report([*dict.fromkeys(problems)], task_vars["inventory_hostname"])
            return {"failed": True, "changed": False, "msg": text}
        ignored = [problem.as_dict() for problem in warned] + result.get("ignored", [])
        result["ignored"] = ignored
        for problem in warned:
            result.setdefault("warnings", []).append(f"ignored: {problem}")
        return result

    def _on_host(self, arguments, task_vars, without_lock):
        if KUBERNETES in task_vars["group_names"]:
            # The host of its tasks is the control node, and the API server orders what is applied.
            wrong = inventory.cluster_problems(
                task_vars["inventory_hostname"], self._connection.transport
            )
            return {"changed": False, "problems": [problem.as_dict() for problem in wrong]}
        if without_lock:
            arguments = {key: value for key, value in arguments.items() if key != "owner"}

        def execute(**more):
            return self._execute_module(
                module_name=MODULE,
                module_args={**arguments, **more, "time": time.time()},
                task_vars=task_vars,
            )

        result = execute()
        holder, me = result.get("lock"), arguments.get("owner")
        if not holder or not me or run_lock.is_same_run(holder, me):
            return result
        return execute(ended_owner=holder) if run_lock.is_gone(holder, me, started_now) else result

    def _monitoring(self, task_vars):
        """Problems of what the inventory says of the monitoring."""
        render = self._templar.template
        pages = {
            "networks": render(task_vars.get("platform_monitoring_networks", [])),
            "tls": bool(render(task_vars.get("platform_balancer_tls", False))),
        }
        receivers = render(task_vars.get("prometheus_receivers", []))
        siem = render(task_vars.get("logs_siem", {}))
        return monitoring.problems(task_vars["groups"], pages, receivers, siem)

    def _here(self, arguments, task_vars):
        """Problems of inventory and control node, once a play: those to report, those ignored."""
        if task_vars["inventory_hostname"] != task_vars["ansible_play_hosts_all"][0]:
            return [], []
        # As in check mode, in which a secret that a definition asks for is not written.
        dry = {**task_vars, "ansible_check_mode": True}
        templar = self._templar
        self._templar = templar.copy_with_new_env(available_variables=dry)
        try:
            problems = self._found_here(arguments, task_vars)
        finally:
            self._templar = templar
        ignore = arguments.get("ignore", [])
        return (
            [problem for problem in problems if problem.check not in ignore],
            [problem for problem in problems if problem.check in ignore],
        )

    def _found_here(self, arguments, task_vars):
        return [
            *self._of_inventory(arguments, task_vars),
            *version_problems(arguments.get("versions", {}), arguments.get("allow_versions", {})),
            *inventory.secret_problems(secret_modes(arguments.get("secrets_directory") or "")),
            *inventory.secrets_place_problems(secrets_places(task_vars)),
            *inventory.readable_place_problems(places_read_as_inventory(task_vars, arguments)),
            *self._port_conflicts(task_vars),
        ]

    def _of_inventory(self, arguments, task_vars):
        """Return the problems of what the inventory says: groups, services elsewhere, people."""
        known = {
            entry.get("group", "")
            for entry in self._templar.template(task_vars.get("platform_services", {})).values()
        }
        engine, acme_directory = (
            str(self._templar.template(task_vars.get(f"load_balancer_{name}", default)))
            for name, default in (("engine", "haproxy"), ("acme_directory", ""))
        )
        return [
            *inventory.group_problems(
                task_vars["groups"],
                required_groups(
                    arguments.get("required_groups", []), task_vars, self._templar.template
                ),
                known,
            ),
            *external_problems(
                task_vars,
                self._templar.template,
                authority,
                arguments.get("secrets_directory") or "",
            ),
            *clusters.problems(task_vars["groups"], engine),
            *self._monitoring(task_vars),
            *inventory.engine_problems(engine, acme_directory),
            *variable_problems(task_vars, self._templar.template),
            *people_problems(task_vars, self._templar.template),
            *sign_on_problems(task_vars, self._templar.template, authority),
            *own_credential_problems(task_vars, self._templar.template),
            *site_problems(task_vars, self._templar.template),
        ]

    def _port_conflicts(self, task_vars):
        """Return the ports that two services of a host would publish."""
        try:
            conflicts = port_conflicts(topology_from(task_vars, self._templar.template))
        except UNUSABLE:
            return []  # reported for each host by _ports
        parts = (conflict.partition(": ") for conflict in conflicts)
        return [Finding("inventory", p[0], "one service a port", p[2]) for p in parts]

    def _ports(self, task_vars):
        """Services of this host with port and publish, or the reason why nobody can tell."""
        host = task_vars["inventory_hostname"]
        try:
            topology = topology_from(task_vars, self._templar.template)
            check_balancers(topology, host)
            return {
                service.name: {
                    "port": service.port,
                    "publish": topology.publish(service.name, host),
                }
                for service in topology.services_on(host)
                if service.has_port
            }, []
        except UNUSABLE as error:
            if getattr(error, "action", ""):
                return {}, [Finding.of("inventory", error)]
            problem = Finding(
                "inventory",
                f"the catalog cannot be laid over this inventory: {reason_of(error)}",
                "platform_services and mcp_servers as the platform role documents them",
                "correct the inventory",
            )
            return {}, [problem]


def without_secret(arguments, task_vars, template):
    """Return the directories of data whose secret is neither given nor kept, by its name."""
    directory = arguments.get("secrets_directory") or ""
    given = task_vars.get("platform_secrets") or {}

    def is_known(secret):
        try:
            # One secret at a time: that another cannot be resolved says nothing of this one.
            said = template(given)[secret] if isinstance(given, str) else template(given[secret])
        except KeyError:
            said = ""
        except AnsibleError:
            return True  # its own role says why it cannot be resolved
        return bool(said) or os.path.exists(os.path.join(directory, secret))

    data = arguments.get("data") or {}
    return {secret: path for secret, path in data.items() if not is_known(secret)}


def leave_out_unreadable(arguments, problems):
    """Take out what the module would refuse as a whole, so that it finds all the rest.

    Returns why, unless a variable of the wrong type is reported by its name already.
    """
    if arguments.get("ollama") is None:
        return []
    spec = {"ollama": {"type": "dict", "options": OLLAMA_ARGUMENTS}}
    checked = ArgumentSpecValidator(spec).validate({"ollama": arguments["ollama"]})
    if not checked.error_messages:
        return []
    del arguments["ollama"]
    if any(problem.found.startswith("variable ollama_") for problem in problems):
        return []
    text = "; ".join(checked.error_messages)
    return [Finding("inventory", text, "the types of ollama_*", "correct it in the inventory")]


def from_here(source):
    """A source; where its path is on the control node, with what it holds instead of the path."""
    path = source.get("path")
    if not path or not os.path.exists(path):
        return source
    holds = None
    with contextlib.suppress(Unusable):  # sending it will tell what is wrong
        holds = contents(path)
    return {**source, "path": None, "holds": holds}


def authorities(files):
    """The authorities of registries, read here, and what cannot be read."""
    found, problems = {}, []
    for registry, path in files.items() if isinstance(files, dict) else ():
        text, reason = authority(path)
        if not reason:
            found[registry] = text
            continue
        problems.append(
            Finding(
                "inventory",
                f"docker_registry_ca names {path} for {registry}: {reason}",
                "a PEM file on the control node",
                "correct the path, {{ inventory_dir }}/... for one beside the inventory; make PEM "
                "of DER with openssl x509 -inform der",
            )
        )
    return found, problems


def authority(path):
    """The text of an authority's file, and why it cannot be used."""
    try:
        # A number would be taken for an open file of this process.
        with open(os.fspath(path), encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        return "", error.strerror
    except (ValueError, TypeError) as error:  # DER, or no path at all
        return "", f"no text ({error})"
    return text, authority_problem(text)


def check_balancers(topology, host):
    """Raise where several balancers cannot share an address."""
    if host in topology.balancers:
        _found = topology.balancer_address
        if topology.shared:
            sharing(topology, host)


def own_credential_problems(task_vars, template):
    """What the inventory lacks for servers at which people show credentials of their own."""
    try:
        servers = template(task_vars.get("platform_mcp_servers", {}))
        has_redis = task_vars["groups"].get("redis") or external_from(task_vars, template)["redis"]
        oidc = template(task_vars.get("platform_oidc", {}))
    except UNUSABLE:
        return []  # the declaration is itself wrong, and reported
    portals = task_vars["groups"].get("portal")
    return [
        *own_credentials.problems(servers, bool(portals), bool(has_redis)),
        *own_credentials.exchange_problems(servers, oidc),
    ]


def people_problems(task_vars, template):
    """Teams and keys that collide, or that name a model or an MCP server that is not there."""

    def given(name, default):
        return template(task_vars.get(name, default))

    try:
        models = None
        if not given("litellm_store_models", False):
            models = people.declared_models(
                given("ollama_models", []), given("litellm_custom_apis", [])
            )
        servers = given("platform_mcp_servers", {})
        return people.problems(given("teams", []), given("litellm_keys", []), servers, models)
    except UNUSABLE:
        return []  # what they need is itself wrong, and reported
