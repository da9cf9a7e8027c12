# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every role keeps the house rules: its files, its variables, its specs, its README."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.intranet.mcp.plugins.modules import doctor, preflight

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if (path / "meta").is_dir())
# A catalog: data that others read, so there is nothing to run.
WITHOUT_TASKS = {"platform"}
# Names that people know, given to the catalog without its prefix.
KNOWN_NAMES = {
    "mcp_servers",
    "ollama_gpus",
    "ollama_models",
    "image_extra",
    "teams",
    "litellm_keys",
} | {
    "ansible_pipelining",  # of Ansible itself
    "ansible_ssh_extra_args",
}

TYPES = {
    "str": str,
    "path": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "list": list,
    "dict": dict,
    "raw": object,
}

every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def defaults_of(role):
    """Return a role's public default variables: one file, or a directory of them."""
    merged = {}
    for path in [role / "defaults" / "main.yml", *sorted(role.glob("defaults/main/*.yml"))]:
        if path.is_file():
            merged.update(yaml.safe_load(path.read_text()) or {})
    return merged


def vars_of(role):
    """Return a role's variables that are no options."""
    merged = {}
    for path in [role / "vars" / "main.yml", *sorted(role.glob("vars/main/*.yml"))]:
        if path.is_file():
            merged.update(yaml.safe_load(path.read_text()) or {})
    return merged


def specs_of(role):
    path = role / "meta" / "argument_specs.yml"
    return yaml.safe_load(path.read_text())["argument_specs"] if path.is_file() else {}


def options_of(role):
    """Return all options of all entry points, by name; equal names are equal options."""
    merged = {}
    for entry, spec in specs_of(role).items():
        for name, option in (spec.get("options") or {}).items():
            assert merged.setdefault(name, option) == option, f"{entry}: {name} is specified twice"
    return merged


def is_template(value):
    return isinstance(value, str) and "{{" in value


def is_definition(role, name):
    """Tell whether a variable is a service definition of the role, its own documentation."""
    catalogs = {"platform_services", "platform_builtin_mcp_servers"}
    return name.endswith("_service") or name in catalogs


@every_role
def test_role_has_every_part(role):
    parts = ["meta/main.yml", "meta/argument_specs.yml"]
    missing = [part for part in parts if not (role / part).is_file()]
    assert not missing
    assert role.name in WITHOUT_TASKS or list(role.glob("tasks/*.yml")), "no tasks"
    assert defaults_of(role), "no default variables"


@every_role
def test_variables_carry_the_name_of_their_role(role):
    strange = [
        name
        for name in defaults_of(role)
        if not name.startswith(f"{role.name}_") and name not in KNOWN_NAMES
    ]
    assert not strange


@every_role
def test_every_default_variable_is_specified(role):
    assert not sorted(set(defaults_of(role)) - set(options_of(role)))


@every_role
def test_specified_defaults_equal_the_role_defaults(role):
    defaults = defaults_of(role)
    different = {
        name: {"specs": option.get("default"), "defaults": defaults.get(name)}
        for name, option in options_of(role).items()
        if not is_definition(role, name)
        and ("default" in option or name in defaults)
        and ("default" in option, option.get("default")) != (name in defaults, defaults.get(name))
    }
    assert not different


@every_role
def test_default_values_have_the_specified_type(role):
    options = options_of(role)
    wrong = {}
    for name, value in defaults_of(role).items():
        expected = options.get(name, {}).get("type", "str")
        is_right = isinstance(value, TYPES[expected]) and (
            expected == "bool" or not isinstance(value, bool)
        )
        if name in options and not is_template(value) and not is_right:
            wrong[name] = {"specified": expected, "found": type(value).__name__}
    assert not wrong


# Roles that examine hosts and certificates, whose limits are the platform's unless said.
EXAMINERS = ("preflight", "verify", "doctor", "prometheus")
LIMITS = ("disk_paths", "disk_reserve_mb", "clock_skew_seconds", "certificate_days")
# Further options of the platform that modules take, which may be used without its catalog.
PLACES = ("container_prefix", "config_dir", "data_dir")


def test_one_limit_in_an_inventory_holds_for_every_check_of_it():
    found = {}
    for role in EXAMINERS:
        for name, value in defaults_of(ROOT / "roles" / role).items():
            limit = name.removeprefix(f"{role}_").replace("disk_free_mb", "disk_reserve_mb")
            if limit in LIMITS:
                found[name] = (value, f"{{{{ platform_{limit} }}}}")
    assert found.pop("doctor_disk_paths")[0] == [], "further ones than it finds by itself"
    assert len(found) == 12
    assert {name: both for name, both in found.items() if len(set(both)) == 2} == {}


@pytest.mark.parametrize("module", [doctor, preflight])
def test_limits_of_modules_are_the_platforms(module):
    platform = defaults_of(ROOT / "roles/platform")
    names = [name for name in (*LIMITS, *PLACES) if name in module.ARGUMENTS]
    assert len(names) > 3
    own = {name: module.ARGUMENTS[name]["default"] for name in names}
    expected = {name: platform[f"platform_{name}"] for name in names}
    # With an engine whose settings name no directory; doctor takes the running engine's.
    data = platform["platform_data_dir"]
    expected["disk_paths"] = {doctor: [], preflight: ["/var/lib/docker", data]}[module]
    assert own == expected


def test_a_revoked_key_may_work_as_long_as_the_gateway_remembers_it():
    """And for the ten seconds in which it is asked again."""
    package = ROOT / "roles/gateway/files/mcp_gateway/src/mcp_gateway"
    (known,) = re.findall(
        r"\n    cache_seconds: float = (\d+)\n", (package / "settings.py").read_text()
    )
    within = defaults_of(ROOT / "roles/verify")["verify_revoked_within_seconds"]
    assert within == int(known) + 10
    assert "cache_seconds" not in (ROOT / "roles/gateway/templates/gateway.yml.j2").read_text()


def untold(options, prefix=""):
    """Yield options, nested ones too, that lack a type, a description or their elements' type."""
    for name, option in options.items():
        parts = ["type", "description"] + (["elements"] if option.get("type") == "list" else [])
        yield from (f"{prefix}{name}: {part}" for part in parts if not option.get(part))
        yield from untold(option.get("options", {}), f"{prefix}{name}.")


@every_role
def test_every_option_states_its_type_and_meaning(role):
    assert not list(untold(options_of(role)))


@every_role
def test_every_entry_point_exists_and_is_described(role):
    wanting = [
        entry
        for entry, spec in specs_of(role).items()
        if not spec.get("short_description")
        or (role.name not in WITHOUT_TASKS and not (role / "tasks" / f"{entry}.yml").is_file())
    ]
    assert not wanting


@every_role
def test_task_files_fit_a_screen(role):
    lines = {
        path.relative_to(role).as_posix(): len(path.read_text().splitlines())
        for path in role.glob("tasks/**/*.yml")
    }
    assert not {name: count for name, count in lines.items() if count > 80}


@every_role
def test_roles_read_no_variables_of_no_role(role):
    """A misspelt variable is found here instead of on somebody's host."""
    known = set()
    for other in ROLES:
        known |= set(defaults_of(other)) | set(options_of(other)) | set(vars_of(other))
    text = "\n".join(path.read_text() for path in role.glob("tasks/**/*.yml"))
    used = set(re.findall(rf"(?<![\w.'-]){role.name}_[a-z0-9_]+(?=\s*(?:\||\}}\}}|\.|\[))", text))
    registered = set(re.findall(r"(?:register:|loop_var:)\s*(\w+)", text))
    assigned = set(re.findall(r"^\s+(\w+):", text, re.MULTILINE))
    assert not sorted(used - known - registered - assigned)


@every_role
def test_a_role_reads_internal_variables_of_the_catalog_alone(role):
    """What else it has to know is an option, a documented fact, or what role_option says."""
    parts = (
        "tasks/**/*.yml",
        "defaults/**/*.yml",
        "vars/**/*.yml",
        "handlers/*",
        "templates/**/*.j2",
    )
    texts = [path.read_text() for part in parts for path in role.glob(part)]
    read = {name for text in texts for name in re.findall(r"\b__(\w+)", text)}
    others = {other.name for other in ROLES} - {role.name, "platform"}
    of_others = {name for name in read for other in others if name.startswith(f"{other}_")}
    assert {name for name in of_others if not name.startswith(f"{role.name}_")} == set()


@pytest.mark.parametrize(("said", "has_gpu"), [("false", False), ("true", True), (True, True)])
def test_ollama_gets_a_gpu_as_inventories_of_text_say_it(said, has_gpu):
    """In an INI inventory `nvidia_gpu=false` is a text, which would count as true."""
    default = defaults_of(ROOT / "roles/platform")["ollama_gpus"]
    templar = Templar(loader=DataLoader(), variables={"nvidia_gpu": said})
    assert templar.template(trust_as_template(default)) is has_gpu


def test_what_verify_removes_at_its_end_never_costs_the_report():
    """LiteLLM may be away, which the report has to say."""
    for name in ("revoke", "intruders"):
        (block,) = yaml.safe_load((ROOT / f"roles/verify/tasks/{name}.yml").read_text())
        assert [task["failed_when"] for task in block["always"]] == [False]


def tasks_in(part):
    """Return every task below a part of a task file."""
    if isinstance(part, list):
        return [task for entry in part for task in tasks_in(entry)]
    nested = [tasks_in(part.get(key, [])) for key in ("block", "rescue", "always")]
    return [part, *(task for tasks in nested for task in tasks)]


@every_role
def test_no_task_file_only_forwards_to_another(role):
    """But for a role's main file, which hands its definition to the role `service`."""
    names = {f"{kind}_{what}" for kind in ("include", "import") for what in ("role", "tasks")}
    forwarding = []
    for path in role.glob("tasks/*.yml"):
        (first, *others) = yaml.safe_load(path.read_text())
        uses = {key.rpartition(".")[2] for key in first} & names
        hands_over = path.name == "main.yml" and "service_definitions" in first.get("vars", {})
        if uses and not others and "loop" not in first and not hands_over:
            forwarding.append(path.name)
    assert not forwarding


@every_role
def test_a_definition_names_its_role_in_paths(role):
    """The role `service` reads it, whose `role_path` is another by then."""
    if not any(name.endswith("_service") for name in defaults_of(role)):
        return
    texts = [str(value) for value in (*defaults_of(role).values(), *vars_of(role).values())]
    wrong = [text for text in texts if re.search(r"role_path ~ '/(?!\.\.)", text)]
    assert not wrong, "say role_path ~ '/../ROLE/...' here"


def test_a_container_takes_its_anonymous_volumes_along():
    """The engine keeps them otherwise, one more with each new container, and nothing uses them."""
    files = [path for role in ROLES for path in sorted((role / "tasks").glob("*.yml"))]
    tasks = [task for path in files for task in tasks_in(yaml.safe_load(path.read_text()) or [])]
    found = [module for task in tasks if (module := task.get("community.docker.docker_container"))]
    removing = [module for module in found if "comparisons" not in module]
    assert len(removing) >= 3, "with `comparisons` a container stays the one it is"
    assert [module["name"] for module in removing if module.get("keep_volumes") is not False] == []


def test_role_readmes_are_up_to_date():
    checked = subprocess.run(
        [sys.executable, ROOT / "tests" / "tools" / "role_readme.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, f"run `make docs`: {checked.stdout}{checked.stderr}"


def test_what_each_host_compares_for_each_role_is_imported():
    """Including it for the sake of clusters would cost every run of hosts."""
    for name in ("deploy", "plan"):
        tasks = yaml.safe_load((ROOT / "roles/service/tasks" / f"{name}.yml").read_text())
        assert [task for task in tasks if task.get("ansible.builtin.import_tasks") == "compare.yml"]


def test_what_runs_on_the_control_node_runs_as_who_started_it():
    """An inventory's ansible_become holds for localhost, too, and `become: false` is weaker."""
    seen, wrong = 0, []
    places = [*(ROOT / "playbooks").glob("*.yml"), *ROOT.glob("roles/*/tasks/*.yml")]
    for path in places:
        for task in _tasks(yaml.safe_load(path.read_text()) or []):
            if task.get("delegate_to") != "localhost":
                continue
            seen += 1
            if (task.get("vars") or {}).get("ansible_become") is not False:
                wrong.append(f"{path.name}: {task['name']}")
    assert seen > 15 and not wrong


def _tasks(found):
    """Return every task, block and play of a file, however deep."""
    if isinstance(found, list):
        return [task for each in found for task in _tasks(each)]
    if not isinstance(found, dict):
        return []
    return [found, *(task for value in found.values() for task in _tasks(value))]
