# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every module documents what it takes and what it returns: all of it, and nothing else."""

from __future__ import annotations

import ast
import importlib
import sys

import pytest
import support
import yaml

MODULES = sorted(
    path
    for path in (support.REPOSITORY / "plugins" / "modules").glob("*.py")
    if path.stem[0] != "_"
)
IDS = [path.stem for path in MODULES]


def documentation(path) -> dict:
    """Return the documentation blocks of a module."""
    tree = ast.parse(path.read_text())
    blocks = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            name = node.targets[0].id
            if name in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
                blocks[name] = yaml.safe_load(node.value.value)
    return blocks


def code_path(path):
    """Return where the code of a module is: an action plugin may do all of the work."""
    return path if "\ndef main(" in path.read_text() else path.parents[1] / "action" / path.name


def argument_spec(path, monkeypatch) -> dict:
    """Return the argument spec that `main()` builds, or the action plugin that does the work."""
    from ansible.module_utils import basic

    if (action := code_path(path)) != path:
        name = f"ansible_collections.intranet.mcp.plugins.action.{action.stem}"
        return importlib.import_module(name).ARGUMENTS

    module = importlib.import_module(
        f"ansible_collections.intranet.mcp.plugins.modules.{path.stem}"
    )

    class Stop(Exception):
        pass

    def capture(_self, argument_spec, **_options):
        raise Stop(argument_spec)

    monkeypatch.setattr(basic.AnsibleModule, "__init__", capture)
    with pytest.raises(Stop) as stopped:
        module.main()
    return stopped.value.args[0]


def documented_options(blocks: dict) -> dict:
    """Return the options, those of the collection's own fragments included."""
    options = dict(blocks["DOCUMENTATION"].get("options") or {})
    for fragment in blocks["DOCUMENTATION"].get("extends_documentation_fragment") or []:
        if not fragment.startswith("intranet.mcp."):
            continue
        name = fragment.removeprefix("intranet.mcp.")
        module = importlib.import_module(
            f"ansible_collections.intranet.mcp.plugins.doc_fragments.{name}"
        )
        options.update(yaml.safe_load(module.ModuleDocFragment.DOCUMENTATION).get("options") or {})
    return options


def code_of(path) -> ast.Module:
    """Return the code without its documentation blocks."""
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if not _is_documentation(node)]
    return tree


def _is_documentation(node) -> bool:
    names = [getattr(target, "id", "") for target in getattr(node, "targets", [])]
    return bool({"DOCUMENTATION", "EXAMPLES", "RETURN"} & set(names))


def explicit_keys(path) -> set[str]:
    """Return the keys that stand in calls that end a module."""
    found: set[str] = set()
    for node in ast.walk(code_of(path)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in ("exit_json", "fail_json", "fail"):
            found |= {keyword.arg for keyword in node.keywords if keyword.arg}
            for keyword in node.keywords:
                if keyword.arg is None and isinstance(keyword.value, ast.Dict):
                    found |= {k.value for k in keyword.value.keys if isinstance(k, ast.Constant)}
    return found - support.COMMON_RESULT_KEYS


def imported_files(path) -> list:
    """Return the files of the collection that a module imports."""
    prefix = "ansible_collections.intranet.mcp."
    found = []
    for node in ast.walk(code_of(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(prefix):
            place = support.REPOSITORY / node.module.removeprefix(prefix).replace(".", "/")
            found += [place.with_suffix(".py"), *(place / f"{n.name}.py" for n in node.names)]
    return [file for file in found if file.exists()]


def result_names(path) -> set[str]:
    """Return what a result can get a key from, in the module and in what it imports of ours.

    Those are keys of dictionaries that are written, keywords of calls that make or end with one,
    fields of classes, which `asdict` and the like return, and tables of fields (tuples that have a
    name). What an option is called, is compared with, or is read by, is no key of a result. An
    action that extends one of Ansible's returns what that one does.
    """
    found: set[str] = set()
    for source in [code_path(path), *imported_files(path)]:
        tree = code_of(source)
        accepted = {id(node) for node in _argument_specs(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict) and id(node) not in accepted:
                found |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
            elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                found |= {getattr(node.slice, "value", "")}
            elif isinstance(node, ast.Call) and _name(node.func) in ENDS:
                found |= {keyword.arg for keyword in node.keywords if keyword.arg}
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
                found |= {getattr(field, "value", "") for field in node.value.elts}
            elif isinstance(node, ast.ClassDef):
                fields = (field for field in node.body if isinstance(field, ast.AnnAssign))
                found |= {field.target.id for field in fields}
            elif isinstance(node, ast.ImportFrom) and node.module == "ansible.plugins.action":
                extended = [alias.name for alias in node.names if alias.name.islower()]
                found |= {key for name in extended for key in _returned_by_ansible(name)}
    return found


def _returned_by_ansible(name: str) -> dict:
    return yaml.safe_load(importlib.import_module(f"ansible.modules.{name}").RETURN)


# Calls whose keywords are keys of a result; `fail` is common.errors's.
ENDS = ("exit_json", "fail_json", "fail", "dict", "update", "_replace")


def _name(function) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def _argument_specs(tree):
    """Yield every dictionary of options that a module accepts: one with types, and those around."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and any(
            isinstance(value, ast.Dict)
            and "type" in {key.value for key in value.keys if isinstance(key, ast.Constant)}
            for value in node.values
        ):
            yield node


def compare(documented: dict, spec: dict, where: str) -> None:
    assert set(documented) == set(spec), f"{where}: documented and accepted options differ"
    for name, option in spec.items():
        told = documented[name]
        place = f"{where}.{name}"
        assert told.get("description"), f"{place} has no description"
        assert told.get("type") == option.get("type", "str"), f"{place}: type"
        assert told.get("elements") == option.get("elements"), f"{place}: elements"
        assert told.get("default") == option.get("default"), f"{place}: default"
        assert bool(told.get("required")) == bool(option.get("required")), f"{place}: required"
        assert told.get("choices") == option.get("choices"), f"{place}: choices"
        if option.get("options"):
            compare(told.get("suboptions") or {}, option["options"], place)


def samples(returned: dict, where: str):
    for name, value in returned.items():
        place = f"{where}.{name}"
        assert value.get("description"), f"{place} has no description"
        assert value.get("type"), f"{place} has no type"
        yield place, value


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_options_are_documented_as_they_are_accepted(path, monkeypatch):
    compare(documented_options(documentation(path)), argument_spec(path, monkeypatch), path.stem)


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_modules_say_what_they_are_and_show_how(path):
    blocks = documentation(path)
    told = blocks["DOCUMENTATION"]
    assert told["module"] == path.stem
    assert told["short_description"] and told["description"]
    tasks = blocks["EXAMPLES"]
    assert tasks, "no example"
    for task in tasks:
        assert task.get("name"), "an example without a name"
        assert any(key.startswith("intranet.mcp.") for key in task), f"no FQCN in {task['name']}"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_documented_keys_have_samples_and_stand_in_the_code(path):
    """That results hold nothing else is checked whenever a test runs a module (support.py)."""
    returned = documentation(path)["RETURN"] or {}
    assert explicit_keys(path) <= set(returned), "returned, not documented"
    assert set(returned) <= result_names(path), "documented, returned by nothing"
    for place, value in samples(returned, path.stem):
        assert value.get("returned"), f"{place}: when?"
        assert "sample" in value or "contains" in value, f"{place} has no sample"


# What a host must have for a module is Python and what Ansible brings along.
BROUGHT = {*sys.stdlib_module_names, "ansible", "ansible_collections"}
# What runs on the control node may need what ansible-core needs there.
OF_THE_CONTROL_NODE = {"kubernetes_objects": {"yaml"}, "kubeconfig": {"yaml"}}


@pytest.mark.parametrize(
    "path", [*MODULES, *(support.REPOSITORY / "plugins" / "module_utils").rglob("*.py")], ids=str
)
def test_what_runs_on_a_host_needs_nothing_but_python_and_ansible_core(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(node.module)
    needed = {name.partition(".")[0] for name in imported}
    assert needed <= BROUGHT | OF_THE_CONTROL_NODE.get(path.stem, set())


def test_a_result_with_an_inner_key_that_nobody_documents_is_noticed():
    told = {
        "keys": {"contains": {"name": {}, "info": {"contains": {"a": {}}}}},
        "error": {"sample": {"found": "x"}},
    }
    found = {"keys": [{"name": 1, "info": {"a": 1, "b": 2}}, {"c": 3}], "error": {"why": 4}, "d": 5}
    assert support.untold(found, told) == {"keys.info.b", "keys.c", "error.why", "d"}
