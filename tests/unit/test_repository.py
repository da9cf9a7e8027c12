# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What must never be in the repository, and what must be there once."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT_LIMIT_BYTES = 1_000_000


@pytest.fixture(scope="module")
def texts():
    """Return the text of every file of the repository: tracked, or new and not ignored."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-coz", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no Git checkout, so what belongs to the repository is not known")
    found = {}
    for name in filter(None, listed.stdout.split(b"\0")):
        path = ROOT / os.fsdecode(name)
        if path.is_file() and not path.is_symlink():
            found[os.fsdecode(name)] = path.read_bytes()
    return found


def lines_matching(texts, pattern, but=()):
    """Return `file:line: text` of every match, except in files whose name starts so."""
    expression = re.compile(pattern)
    hits = []
    for name, content in texts.items():
        if b"\0" in content or name.startswith(("LICENSE", "tests/unit/test_repository.py", *but)):
            continue
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            if expression.search(line):
                hits.append(f"{name}:{number}: {line.strip()[:120]}")
    return hits


def test_no_file_is_big_or_binary(texts):
    """But for the READMEs' pictures, whose size test_docs.py limits."""
    others = {n: c for n, c in texts.items() if not re.fullmatch(r"docs/pictures/\w+\.png", n)}
    wrong = [n for n, c in others.items() if len(c) > TEXT_LIMIT_BYTES or b"\0" in c]
    assert not wrong


def test_no_home_directory_or_checkout_is_named(texts):
    # /root is root's home on a host; what stands below it differs from machine to machine.
    assert not lines_matching(
        texts, rf"/home/(?!runner\b)[a-z]\w*/|/root/\w|{re.escape(str(ROOT))}/"
    )


def test_lock_files_name_no_registry(texts):
    npm = {name: text for name, text in texts.items() if name.endswith("package-lock.json")}
    assert not lines_matching(npm, r'"resolved":')
    pip = {
        name: text for name, text in texts.items() if re.search(r"requirements[^/]*\.txt$", name)
    }
    assert not lines_matching(pip, r"^[^#]*https?://")


# Words of this project where the field has its own (test_docs.py says which), as parts of a name.
OWN_WORDS = {
    *("ahead", "asking", "door", "doors", "doubt", "doubts", "forget", "forgets", "look", "looks"),
    *("pour", "pours", "seek", "seeks", "settle", "settled", "settles", "stranger", "strangers"),
    *("treatment", "treatments", "vantage", "yield", "yielded", "yields"),
}
NAMED = re.compile(r"^ *(?:(?:async )?def|class) (\w+)|\b(__\w+)\b", re.M)
# But looking something up is the field's own term.
LOOKUPS = re.compile(r"look_?ups?")


def test_names_are_the_fields_words(texts):
    names = {part for name in texts for part in Path(name).with_suffix("").parts}
    for name, content in texts.items():
        if name.endswith((".py", ".yml", ".j2")):
            names |= {a or b for a, b in NAMED.findall(content.decode())}
    wrong = {
        name
        for name in names
        if OWN_WORDS & set(re.split(r"[_\W]+", LOOKUPS.sub("", name.lower())))
    }
    assert not wrong


def test_no_private_key_or_token_is_there(texts):
    pattern = r"BEGIN [A-Z ]*PRIVATE KEY-----\s*$|\bsk-[A-Za-z0-9]{20,}\b|\bghp_[A-Za-z0-9]{30,}"
    assert not lines_matching(texts, pattern)


def test_secrets_and_caches_are_ignored_by_git():
    for path in (
        "inventories/local/.intranet-mcp/secrets/x",
        "inventories/local/secrets/x",
        ".cache/x",
        ".venv/x",
        "inventories/light/reports/x",
    ):
        ignored = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
        if ignored.returncode == 128:
            pytest.skip("no Git checkout")
        assert ignored.returncode == 0, path


# Programs' own ports as defaults of what may be used without the catalog, a port inside containers
# that happens to be the same, and an example in a message.
OTHER_PORTS = {
    "plugins/module_utils/firewall/egress.py",
    "plugins/module_utils/litellm/client.py",
    "plugins/modules/ollama_model.py",
    "plugins/modules/postgres_member.py",
    "plugins/modules/redis_member.py",
    "plugins/plugin_utils/kubernetes/cloudnative.py",
    "plugins/plugin_utils/mcp/images.py",
}


def test_ports_of_the_catalog_stand_in_one_place(texts):
    """In roles, playbooks and the code of plugins; their documentation shows examples."""
    catalog = yaml.safe_load((ROOT / "roles/platform/defaults/main/main.yml").read_text())
    ports = {str(v) for n, v in catalog.items() if re.fullmatch(r"platform_\w+_port", n)}
    ports = {port for port in ports if port.isdigit()} - {"80"}  # 80 is a percentage, too
    assert len(ports) > 10
    number = rf"(?<![\d.])({'|'.join(ports)})(?![\d.])"
    place = r"(roles/[^/]+/(tasks|templates|handlers|vars)/|playbooks/|site\.yml)"
    code = {n: c for n, c in texts.items() if re.match(place, n)}
    assert not lines_matching(code, number, but=("roles/platform/vars/",))
    plugins = {n: c for n, c in texts.items() if re.match(r"plugins/.*\.py$", n)}
    plugins = {n: c for n, c in plugins.items() if "/doc_fragments/" not in n}
    wrong = {
        f"{name}:{node.lineno}"
        for name, content in plugins.items()
        if name not in OTHER_PORTS
        for node in constants(content)
        if re.search(number, str(node.value))
    }
    assert not wrong


# Names of people and things that begin like a container's by default.
NO_CONTAINERS = {
    "intranet-portal",  # the user at LiteLLM that the portal's key belongs to
    "intranet-prometheus",  # the data source in Grafana
    "intranet-grafana",  # the client at the provider of identities
}


def test_containers_are_named_by_the_sites_own_prefix(texts):
    """In code, tasks, variables and templates; documentation shows examples."""
    catalog = yaml.safe_load((ROOT / "roles/platform/defaults/main/main.yml").read_text())
    prefix, services = catalog["platform_container_prefix"], catalog["platform_services"]
    name = re.compile(rf"(?<![\w.-]){prefix}({'|'.join(services)}|tool-)\w*")
    place = r"(roles/[^/]+/(tasks|templates|handlers|vars|defaults)|playbooks)/"
    said = [(n, c.decode()) for n, c in texts.items() if re.match(place, n)]
    for file, content in texts.items():
        if re.match(r"plugins/(?!doc_fragments/).*\.py$", file):
            said += [(file, str(node.value)) for node in constants(content)]
    found = {(file, match[0]) for file, text in said for match in name.finditer(text)}
    assert {match for _file, match in found} & NO_CONTAINERS
    assert not {hit for hit in found if hit[1] not in NO_CONTAINERS}


def test_labels_stand_in_one_place(texts):
    """Or what one part of the platform labels another would not find."""
    own = r"intranet\.mcp\.(owner|service|hash|network|recipe)"
    label = re.compile(rf"(?:{own}|app\.kubernetes\.io/(part-of|managed-by))\b.*")
    found = [
        match[0]
        for name, content in texts.items()
        if re.match(r"plugins/(?!doc_fragments/).*\.py$", name)
        for node in constants(content)
        if (match := label.fullmatch(str(node.value)))
    ]
    assert len(found) > 6
    assert sorted(found) == sorted(set(found))


def test_the_engines_socket_is_named_once_in_modules_and_once_in_roles(texts):
    """But for modules' documentation, whose default is compared with the code."""
    modules = {
        name
        for name, content in texts.items()
        if re.match(r"plugins/(?!doc_fragments/).*\.py$", name)
        and any("docker.sock" in str(node.value) for node in constants(content))
    }
    assert modules == {"plugins/module_utils/engine/docker.py"}
    roles = {n: c for n, c in texts.items() if re.match(r"(roles/(?!docker/)|playbooks/)", n)}
    assert not lines_matching(roles, r"docker\.sock\b")


def test_paths_that_tell_whether_a_service_works_stand_in_one_place(texts):
    text = (ROOT / "roles/platform/defaults/main/main.yml").read_text()
    services = yaml.safe_load(text)["platform_services"].values()
    paths = {entry[key] for entry in services for key in ("health", "ready") if key in entry}
    assert len(paths) > 4
    address = rf"(\}}\}}|:\d+)({'|'.join(map(re.escape, sorted(paths)))})(?![\w/])"
    roles = {n: c for n, c in texts.items() if re.match(r"roles/[^/]+/(?!files/).*\.(yml|j2)$", n)}
    assert not lines_matching(roles, address)


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def constants(source):
    """Yield numbers and texts of a program, without its documentation."""
    tree = ast.parse(source)
    told = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body.pop(0)
    for statement in tree.body:
        if told.isdisjoint(getattr(t, "id", "") for t in getattr(statement, "targets", [])):
            nodes = (n for n in ast.walk(statement) if isinstance(n, ast.Constant))
            yield from nodes


def test_versions_of_the_collection_agree(texts):
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    changelog = ROOT / "changelogs" / "config.yaml"
    assert (
        yaml.safe_load(changelog.read_text())["title"] == f"{galaxy['namespace']}.{galaxy['name']}"
    )
    requires = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["requires_ansible"]
    core = re.search(r"ansible-core==(\d+\.\d+)", texts["requirements.txt"].decode())[1]
    assert requires == f">={core}.0", "requirements.txt pins the oldest supported ansible-core"


def test_tests_do_not_sleep_without_a_reason(texts):
    tests = {n: c for n, c in texts.items() if re.search(r"(^|/)test_\w+\.py$", n)}
    assert not lines_matching(tests, r"^\s*(time\.sleep|await asyncio\.sleep)\((?!0\))[^#]*$")
