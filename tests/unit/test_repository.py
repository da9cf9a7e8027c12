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
from ansible_collections.intranet.mcp.plugins.module_utils.balancer import entry_paths
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import client as litellm
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import client as ollama
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import images

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
# that the test below compares with it, and an example in a message.
OTHER_PORTS = {
    "plugins/module_utils/firewall/egress.py",
    "plugins/module_utils/litellm/client.py",
    "plugins/modules/ollama_model.py",
    "plugins/modules/postgres_member.py",
    "plugins/modules/redis_member.py",
    "plugins/plugin_utils/kubernetes/cloudnative.py",
    "plugins/plugin_utils/mcp/images.py",
}


# Of roles.
NUMBERS_OF_ROLES = (
    "roles/platform/defaults/main/main.yml",  # the catalog
    "roles/platform/vars/main/clusters.yml",  # where a SIEM listens
    "roles/load_balancer/defaults/main.yml",  # a number of connections
    # What programs take that are told no port, as by hand.
    "roles/gateway/files/mcp_gateway/src/mcp_gateway/settings.py",
    "roles/portal/files/mcp_portal/src/mcp_portal/settings.py",
    "roles/image/files/litellm/engine/database.js",
    "roles/image/files/litellm/litellm-migrate",
    "roles/image/files/alert-relay/alert_relay.py",  # a number of bytes
)


def catalog_ports():
    """Return the catalog's ports, as text: those of hosts, and those inside containers."""
    catalog = yaml.safe_load((ROOT / "roles/platform/defaults/main/main.yml").read_text())
    ports = {str(v) for n, v in catalog.items() if re.fullmatch(r"platform_\w+_port", n)}
    inside = {
        str(e["container_port"])
        for e in catalog["platform_services"].values()
        if "container_port" in e
    }
    # 80 is a percentage, too.
    return {port for port in ports if port.isdigit()} - {"80"}, inside


def test_ports_of_the_catalog_stand_in_one_place(texts):
    """In roles, playbooks and the code of plugins; documentation and comments show examples."""
    ports, _inside = catalog_ports()
    assert len(ports) > 10
    number = rf"(?<![\d.])({'|'.join(ports)})(?![\d.])"
    place = r"(roles/[^/]+/(tasks|templates|handlers|vars|defaults|files)/|playbooks/|site\.yml)"
    # Tests have hosts of their own, and a Dockerfile says what the test below compares.
    others = r"/tests/|\.lock$|package-lock\.json$|\.md$|/Dockerfile$"
    code = {n: c for n, c in texts.items() if re.match(place, n) and not re.search(others, n)}
    assert not lines_matching(code, rf"^[^#]*{number}", but=NUMBERS_OF_ROLES)
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


def test_images_listen_where_the_catalog_says(texts):
    """An image says so for those who run it by hand, and a tool server's bridge in its settings."""
    exposed = {
        (name, port)
        for name, content in texts.items()
        if re.match(r"roles/.*/Dockerfile$", name)
        for line in re.findall(r"^EXPOSE (.+)$", content.decode(), re.M)
        for port in line.split()
    }
    known = set.union(*catalog_ports())
    assert len(exposed) > 12
    assert {(name, port) for name, port in exposed if port not in known} == set()
    catalog = yaml.safe_load((ROOT / "roles/platform/defaults/main/main.yml").read_text())
    tools = catalog["platform_services"]["tool_server"]["container_port"]
    assert tools == images.PORT
    assert {port for name, port in exposed if "/tool-" in name} == {str(tools)}


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


# Clients know the paths of the program that they speak to, the balancer's package its own.
PATHS_OF_PROGRAMS = {
    "plugins/module_utils/litellm/client.py": {litellm.READINESS},
    "plugins/module_utils/ollama/client.py": {ollama.TAGS},
    "plugins/module_utils/balancer/entry_paths.py": {*entry_paths.HEALTH_PATHS},
}


def test_paths_that_tell_whether_a_service_works_stand_in_one_place(texts):
    text = (ROOT / "roles/platform/defaults/main/main.yml").read_text()
    services = yaml.safe_load(text)["platform_services"]
    paths = {
        entry[key] for entry in services.values() for key in ("health", "ready") if key in entry
    }
    assert len(paths) > 4
    address = rf"(\}}\}}|:\d+)({'|'.join(map(re.escape, sorted(paths)))})(?![\w/])"
    roles = {n: c for n, c in texts.items() if re.match(r"roles/[^/]+/(?!files/).*\.(yml|j2)$", n)}
    assert not lines_matching(roles, address)
    assert services["litellm"]["ready"] == litellm.READINESS
    assert services["ollama"]["health"] == ollama.TAGS
    assert services["load_balancer"]["health"] in entry_paths.HEALTH_PATHS
    anywhere = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, sorted(paths)[::-1]))})(?!\w)")
    found = {}
    for name, content in texts.items():
        if re.match(r"plugins/(?!doc_fragments/).*\.py$", name):
            for node in constants(content):
                if match := anywhere.search(str(node.value)):
                    found.setdefault(name, []).append(match[1])
    assert found == {name: sorted(known) for name, known in PATHS_OF_PROGRAMS.items()}


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
