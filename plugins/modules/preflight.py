#!/usr/bin/python
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Find everything that would stop a run, before anything changes
author:
  - intranet.mcp contributors (@intranet-mcp)
version_added: 0.1.0
description:
  - Checks a host in one call and reports all problems together.
  - Its action plugin adds what only the control node knows, the inventory, the modes of secrets'
    files and the versions, and reports them on the play's first host.
  - Takes a lock on the host, so that two runs never work on it at once. A lock whose run has ended
    is taken over.
extends_documentation_fragment:
  - intranet.mcp.engine
  - intranet.mcp.registry
attributes:
  check_mode:
    support: full
    description: Checks the same, but takes no lock.
  diff_mode:
    support: none
    description: Changes nothing but the lock.
  idempotent:
    support: full
    description: A run may check again while it holds the lock.
options:
  state:
    description:
      - V(checked) checks and takes the lock, V(released) releases the lock.
      - V(locked) takes the lock and checks nothing, for work on a host that may well be broken.
    type: str
    choices: [checked, locked, released]
    default: checked
  os_families:
    description: Families of distributions that are supported.
    type: list
    elements: str
    default: [debian, redhat]
  architectures:
    description: Processor architectures that are supported.
    type: list
    elements: str
    default: [x86_64, aarch64]
  memory_mb:
    description: Least memory, in MiB.
    type: int
    default: 3500
  disk_paths:
    description: Where data and images will lie. The engine's own directory is added.
    type: list
    elements: path
    default: [/var/lib/docker, /var/lib/intranet-mcp]
  disk_mb:
    description: Least free space while images are missing, in MiB.
    type: int
    default: 15000
  disk_reserve_mb:
    description: Least free space once all images are there, in MiB.
    type: int
    default: 1024
  clock_skew_seconds:
    description: How far the clock may be off the control node's.
    type: int
    default: 60
  container_prefix:
    description: Names of our containers begin so.
    type: str
    default: intranet-
  images:
    description:
      - Local names of the images this host needs. Sources are asked only if one is missing.
    type: list
    elements: str
    default: []
  image_ways:
    description:
      - How each of O(images) may come, as the filter C(image_ways) says it. Registries are asked
        for each that is missing, or that came from elsewhere or by another digest.
    type: dict
    default: {}
  image_record:
    description: File on the host that says of each image which source it came from.
    type: path
    default: /var/lib/intranet-mcp/images.json
  registry_ca:
    description:
      - Files on the control node with the authorities of registries' certificates, by their hosts.
    type: dict
    default: {}
  insecure_registries:
    description:
      - Registries, or networks as C(10.0.0.0/8), that may be asked without verified TLS, beside
        those of the engine.
    type: list
    elements: str
    default: []
  hub_mirrors:
    description:
      - Addresses of Docker Hub's mirrors, which are asked first, beside those of the engine.
    type: list
    elements: str
    default: []
  ca_bundle:
    description:
      - File on the host with the site's own certificate authorities.
      - Default is what the host trusts beyond the public ones.
    type: path
  nvidia_gpu:
    description:
      - What the inventory says of the host's NVIDIA GPU. V(undecided) is a problem where there is
        one, V(yes) where there is none, or where it cannot serve models.
      - V(unused) asks nothing.
    type: str
    choices: ["yes", "no", undecided, unused]
    default: unused
  ollama:
    description:
      - The Ollama of this host, where it has one. Each model whose header can be read already, from
        its weights or from Ollama, must fit into its memory with the context it is to have.
    type: dict
    suboptions:
      url:
        description: Where it answers, once it runs.
        type: str
        required: true
      memory_mb:
        description: Memory of its models, in MiB. Left out where the memory is a GPU's.
        type: int
      prompt_cache_mb:
        description: What a model's server may keep, besides, of conversations that wait, in MiB.
        type: int
        default: 0
      parallel:
        description: Requests a model answers at once.
        type: int
        default: 1
      context_limit:
        description: The most context of a model that names none.
        type: int
      models:
        description: Models it is to have.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: The model's name.
            type: str
            required: true
          context:
            description: The context it is to have, in tokens.
            type: int
          weights:
            description: A GGUF file with its weights, which may not be there yet.
            type: path
  sources:
    description: Ways to get images beside registries, of which one must work.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The way's name.
        type: str
        required: true
      urls:
        description:
          - Addresses that must all answer. C(debian://) is the mirror of Debian that the host's own
            apt sources name.
        type: list
        elements: str
        default: []
      path:
        description: A file or directory that must exist, on the host or on the control node.
        type: path
      holds:
        description:
          - Set by the action plugin where a bundle is on the control node. Its images, with their
            architectures and digests.
        type: dict
  source_timeout_seconds:
    description: Longest wait for an address.
    type: int
    default: 10
  lock_path:
    description: The lock.
    type: path
    default: /run/intranet-mcp/lock
  lock_max_age_seconds:
    description: Age at which a lock of another control node is taken over.
    type: int
    default: 21600
  take_over:
    description: Take the lock whoever holds it.
    type: bool
    default: false
  ignore:
    description: Checks whose problems become warnings.
    type: list
    elements: str
    choices:
      - os
      - architecture
      - memory
      - disk
      - ports
      - clock
      - gpu
      - sources
      - authorities
      - inventory
      - secrets
    default: []
  versions:
    description: Versions that will run, by name. Evaluated on the control node.
    type: dict
    default: {}
  allow_versions:
    description: Versions that are accepted in spite of the block list, by name.
    type: dict
    default: {}
  required_groups:
    description: Inventory groups that need a host. Evaluated on the control node.
    type: list
    elements: str
    default: []
  secrets_directory:
    description: Where secrets lie on the control node.
    type: path
  data:
    description:
      - Directories of PostgreSQL's data by the name of the secret that they were made with. The
        action plugin leaves out those whose secret is given or kept on the control node.
    type: dict
    default: {}
  ports:
    description: Set by the action plugin. Services of this host with C(port) and C(publish).
    type: dict
    default: {}
  owner:
    description: Set by the action plugin. The run that asks for the lock.
    type: dict
    default: {}
  ended_owner:
    description: Set by the action plugin. A holder of the lock that has ended.
    type: dict
    default: {}
  time:
    description: Set by the action plugin. The control node's clock.
    type: float
"""

EXAMPLES = r"""
- name: Check the host
  intranet.mcp.preflight:
    memory_mb: 8000
    required_groups: [litellm, gateway]

- name: Keep other runs away
  intranet.mcp.preflight:
    state: locked

- name: Let the next run in
  intranet.mcp.preflight:
    state: released
"""

RETURN = r"""
problems:
  description:
    - What is wrong, each with C(check), C(found), C(expected) and C(action).
    - The action plugin turns a list that is not empty into one failure text.
  returned: always
  type: list
  elements: dict
  sample:
    - check: ports
      found: port 8080 is held by nginx (process 812)
      expected: free for gateway
      action: stop that program, or give the service another port in the catalog
ignored:
  description: Problems that O(ignore) turned into warnings.
  returned: when O(state=checked)
  type: list
  elements: dict
  sample: []
images_missing:
  description: Images that the host lacks, or that came from elsewhere than they are to come from.
  returned: when O(state=checked)
  type: list
  elements: str
  sample: []
lock:
  description: The run that holds the lock now.
  returned: when there is a lock
  type: dict
  sample: {host: control.example.internal, pid: 4711, user: root, since: "2026-11-23 22:30:01"}
"""

import concurrent.futures
import contextlib
import os
import platform
import time
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.engine import authorities
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import SOCKET, get
from ansible_collections.intranet.mcp.plugins.module_utils.examine import (
    clock,
    containers,
    disk,
    gpu,
    image_sources,
    preflight_models,
    system,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.examine.ports import port_problems
from ansible_collections.intranet.mcp.plugins.module_utils.examine.run_lock import (
    Lock,
    lock_problem,
)
from ansible_collections.intranet.mcp.plugins.module_utils.host.facts import port_holders
from ansible_collections.intranet.mcp.plugins.module_utils.images import registry, sources
from ansible_collections.intranet.mcp.plugins.module_utils.images.build import own_debian_mirrors
from ansible_collections.intranet.mcp.plugins.module_utils.images.bundle import contents
from ansible_collections.intranet.mcp.plugins.module_utils.images.record import Record


class Host:
    """What the checks need to know of this host; reads only."""

    def __init__(self, params: dict):
        self.params = params

    def containers(self) -> list[dict]:
        return get(self.params["socket"], "/containers/json")[0] or []

    def images(self) -> dict[str, dict]:
        """The images that are there, by their tags, as the engine lists them."""
        return containers.by_tag(get(self.params["socket"], "/images/json")[0] or [])

    def misplaced(self, images: dict[str, dict]) -> list[str]:
        """Images that are there and have to come again: from elsewhere, or by another digest."""
        record = Record(self.params["image_record"])
        found = []
        for reference, said in self.params["image_ways"].items():
            wanted = sources.Wanted(tuple(said["ways"]), said["digest"], said["upstream"])
            image = images.get(reference)
            origin = record.origin(reference, image["Id"]) if image else None
            if image and not wanted.is_met(origin, image.get("RepoDigests") or []):
                found.append(reference)
        return found

    @contextlib.contextmanager
    def engines_proxies(self, hosts: set[str]):
        """Ask as the engine will: it may have a proxy that this user's environment lacks.

        Yields whether the engine hides the login at its proxy, which then cannot be used here.
        """
        engine = get(self.params["socket"], "/info")[0] or {}
        named = {"http_proxy": "HttpProxy", "https_proxy": "HttpsProxy", "no_proxy": "NoProxy"}
        added = {
            name: engine[key]
            for name, key in named.items()
            if engine.get(key) and not os.environ.get(name) and not os.environ.get(name.upper())
        }
        if "no_proxy" in added:  # Python knows no networks in it, the engine does
            entries = [entry.strip() for entry in added["no_proxy"].split(",")]
            inside = sorted(host for host in hosts if registry.in_networks(host, entries))
            added["no_proxy"] = ",".join([*entries, *inside])
        os.environ.update(added)
        try:
            yield any("//xxxxx:xxxxx@" in value for value in added.values())
        finally:
            for name in added:
                del os.environ[name]

    def registry_failures(self, missing: list[str]) -> dict[str, str]:
        """Places of registries that do not give the images asked for, with the reason.

        What only the engine's own proxy reaches is not asked and counts as there.
        """
        ways = self.params["image_ways"]
        places = {place for image in missing for place in ways.get(image, {"places": []})["places"]}
        hosts = {place: sources.parse(place).registry.split(":")[0] for place in places}
        if not places:
            return {}
        registries = registry.Registries(
            self.params["registry_logins"],
            self.params["registry_ca"],
            self.params["insecure_registries"],
            self.params["source_timeout_seconds"],
            self.params["hub_mirrors"],
        )
        with (
            self.engines_proxies(set(hosts.values())) as is_hidden,
            concurrent.futures.ThreadPoolExecutor(min(8, len(places))) as pool,
        ):
            answers = {
                place: pool.submit(registries.failure, place)
                for place in sorted(places)
                if not is_hidden or urllib.request.proxy_bypass(hosts[place])
            }
        return {place: answer.result() for place, answer in answers.items() if answer.result()}

    def data_paths(self) -> list[str]:
        """Where data and images will lie."""
        engine = get(self.params["socket"], "/info")[0] or {}
        return list(filter(None, [*self.params["disk_paths"], engine.get("DockerRootDir")]))

    def sources(self) -> list[dict]:
        """The ways beside registries; of a bundle on this host, what it holds."""
        found = []
        for source in self.params["sources"]:
            holds = source.get("holds")
            with contextlib.suppress(Unusable):  # loading from it will tell what is wrong
                holds = contents(source["path"]) if holds is None else holds
            found.append({**source, "holds": holds})
        return found

    def source_failures(self) -> dict[str, str]:
        """Addresses and paths that cannot be used, with the reason."""
        sources = self.params["sources"]
        failures = {
            source["path"]: "does not exist"
            for source in sources
            if source["path"] and not os.path.exists(source["path"])
        }
        urls = sorted({url for source in sources for url in source["urls"]})
        if urls:
            with concurrent.futures.ThreadPoolExecutor(len(urls)) as pool:
                answers = {url: pool.submit(self.probe, url) for url in urls}
            failures.update({url: a.result() for url, a in answers.items() if a.result()})
        return failures

    def probe(self, url: str) -> str:
        """Empty if anything answers there: a mirror's root may well be forbidden or not found."""
        if url == "debian://":
            own = own_debian_mirrors()[0]
            return self.probe(own) if own else "is named by no apt source: set image_apt_mirror"
        try:
            open_url(url, timeout=self.params["source_timeout_seconds"]).close()
        except urllib.error.HTTPError as error:
            return "" if error.code < 500 else f"answers {error.code}"
        except Exception as error:  # open_url has no common base of what it raises
            return str(getattr(error, "reason", error))
        return ""


def check(host: Host) -> tuple[list[Finding], list[str]]:
    """What was found of the host, and the images it lacks."""
    params = host.params
    listed = host.containers()
    wanted = {
        "os_family": params["os_families"],
        "architecture": params["architectures"],
        "memory_mb": params["memory_mb"],
    }
    findings = system.judge(system.read(), wanted)
    now = time.time()
    control_node = params["time"] or now
    findings.append(clock.judge("clock", now, control_node, params["clock_skew_seconds"]))
    images = host.images()
    missing = image_sources.missing_images(params["images"], set(images)) + host.misplaced(images)
    needed = params["disk_mb"] if missing else params["disk_reserve_mb"]
    setting = "preflight_disk_mb" if missing else "preflight_disk_reserve_mb"
    findings += disk.failures("disk", disk.read(host.data_paths()), needed, setting)
    ports = {service["port"] for service in params["ports"].values()}
    prefix, holders = params["container_prefix"], port_holders(ports, listed)
    findings += port_problems("ports", params["ports"], holders, listed, prefix)
    findings += gpu.judge("gpu", gpu.read(), params["nvidia_gpu"])
    findings += authority_problems(params["ca_bundle"] or "")
    findings += data_problems(params["data"], params["secrets_directory"])
    if params["ollama"]:
        findings += preflight_models.problems(params["ollama"])
    if missing:
        failures = {**host.source_failures(), **host.registry_failures(missing)}
        findings += image_sources.image_problems(
            missing, host.sources(), failures, params["image_ways"], platform.machine()
        )
    return findings, missing


def authority_problems(ca_bundle: str) -> list[Finding]:
    """What keeps containers and builds from trusting the site's own authorities."""
    try:
        authorities.trust_store(ca_bundle)
    except authorities.AuthorityError as error:
        return [Finding.of("authorities", error)]
    except OSError as error:
        found = f"{error.filename} cannot be read: {error.strerror}"
        return [Finding("authorities", found, "a file", "correct platform_ca_bundle")]
    return []


def data_problems(data: dict[str, str], directory: str | None) -> list[Finding]:
    """What an earlier platform left here that nobody has the secret of any more.

    data: name of the secret -> directory. directory: where the control node has its secrets.
    """
    return [
        Finding(
            "secrets",
            f"{path} has data of an earlier platform, and {secret} is not in {directory}",
            f"the {secret} that these data were made with",
            "copy the secrets there from the inventory that made them, all of them: "
            "litellm_salt_key reads what LiteLLM has encrypted; or run playbooks/absent.yml "
            "-e absent_data=true first, which deletes the data",
        )
        for secret, path in data.items()
        if os.path.isfile(os.path.join(path, "PG_VERSION"))
    ]


SOURCE = {
    "name": {"type": "str", "required": True},
    "urls": {"type": "list", "elements": "str", "default": []},
    "path": {"type": "path"},
    "holds": {"type": "dict"},
}
HOST_CHECKS = ["os", "architecture", "memory", "disk", "ports", "clock", "gpu", "sources"]
CHECKS = [*HOST_CHECKS, "authorities", "inventory", "secrets"]
ARGUMENTS = {
    "state": {"type": "str", "choices": ["checked", "locked", "released"], "default": "checked"},
    "os_families": {"type": "list", "elements": "str", "default": ["debian", "redhat"]},
    "architectures": {"type": "list", "elements": "str", "default": ["x86_64", "aarch64"]},
    "memory_mb": {"type": "int", "default": 3500},
    "disk_paths": {
        "type": "list",
        "elements": "path",
        "default": ["/var/lib/docker", "/var/lib/intranet-mcp"],
    },
    "disk_mb": {"type": "int", "default": 15000},
    "disk_reserve_mb": {"type": "int", "default": 1024},
    "clock_skew_seconds": {"type": "int", "default": 60},
    "container_prefix": {"type": "str", "default": "intranet-"},
    "socket": {"type": "path", "default": SOCKET},
    "images": {"type": "list", "elements": "str", "default": []},
    "image_ways": {"type": "dict", "default": {}},
    "image_record": {"type": "path", "default": "/var/lib/intranet-mcp/images.json"},
    "registry_logins": registry.LOGINS,
    "registry_ca": {"type": "dict", "default": {}},
    "insecure_registries": {"type": "list", "elements": "str", "default": []},
    "hub_mirrors": {"type": "list", "elements": "str", "default": []},
    "ca_bundle": {"type": "path"},
    "nvidia_gpu": {
        "type": "str",
        "choices": ["yes", "no", "undecided", "unused"],
        "default": "unused",
    },
    "ollama": {"type": "dict", "options": preflight_models.ARGUMENTS},
    "sources": {"type": "list", "elements": "dict", "default": [], "options": SOURCE},
    "source_timeout_seconds": {"type": "int", "default": 10},
    "lock_path": {"type": "path", "default": "/run/intranet-mcp/lock"},
    "lock_max_age_seconds": {"type": "int", "default": 21600},
    "take_over": {"type": "bool", "default": False},
    "ignore": {"type": "list", "elements": "str", "choices": CHECKS, "default": []},
    "versions": {"type": "dict", "default": {}},
    "allow_versions": {"type": "dict", "default": {}},
    "required_groups": {"type": "list", "elements": "str", "default": []},
    "secrets_directory": {"type": "path", "no_log": False},
    "data": {"type": "dict", "default": {}},
    "ports": {"type": "dict", "default": {}},
    "owner": {"type": "dict", "default": {}},
    "ended_owner": {"type": "dict", "default": {}},
    "time": {"type": "float"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    lock = Lock(params)
    if params["state"] == "released":
        if not module.check_mode:
            lock.release()
        module.exit_json(changed=False, problems=[])  # the lock is no state of the platform
    if params["state"] == "locked":
        is_asked = params["owner"] and not module.check_mode
        module.exit_json(**{"changed": False, "problems": [], **(taken(lock) if is_asked else {})})
    findings, missing = check(Host(params))
    problems = [found for found in findings if found.is_failed]
    ignored = [problem for problem in problems if problem.check in params["ignore"]]
    problems = [problem for problem in problems if problem.check not in params["ignore"]]
    result = {
        "changed": False,
        "problems": [problem.as_dict() for problem in problems],
        "ignored": [problem.as_dict() for problem in ignored],
        "images_missing": missing,
    }
    for problem in ignored:
        module.warn(f"ignored: {problem}")
    if not problems and params["owner"] and not module.check_mode:
        result.update(taken(lock))
    module.exit_json(**result)


def taken(lock: Lock) -> dict:
    """Who has the lock after the attempt to take it, and the problem where that is another run."""
    holder = lock.take()
    if holder is lock.me:
        return {"lock": holder}
    problem = lock_problem(holder, lock.params["lock_max_age_seconds"])
    return {"lock": holder, "problems": [problem.as_dict()]}


if __name__ == "__main__":
    main()
