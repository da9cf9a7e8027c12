# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whom the plays of site.yml are for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import role_of
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.services import roles
from jinja2 import Template


def read(playbook):
    return yaml.safe_load((support.REPOSITORY / "playbooks" / playbook).read_text())


PLAYS = read("site.yml")


def test_no_play_reads_facts_that_nobody_uses():
    """Ansible reads all of them for each play, unless its configuration or the play says no."""
    greedy = {}
    for path in sorted((support.REPOSITORY / "playbooks").glob("*.yml")):
        plays = [play for play in yaml.safe_load(path.read_text()) if "hosts" in play]
        greedy[path.name] = [p["name"] for p in plays if p.get("gather_facts") is not False]
    assert "site.yml" in greedy
    assert not any(greedy.values()), greedy


def test_the_control_nodes_facts_are_not_taken_for_those_of_a_cluster():
    (facts,) = [task for task in read("usage.yml")[0]["tasks"] if "ansible.builtin.setup" in task]
    assert facts["when"] == "'kubernetes' not in group_names"


def test_nodes_are_touched_only_where_the_site_has_a_bundle_and_no_registry():
    """A company may have a group of this name for purposes of its own."""
    (play,) = [play for play in PLAYS if "'kubernetes_nodes'" in play.get("hosts", "")]
    names = ("kubernetes", "kubernetes_nodes")
    for there in ([], names[:1], names[1:], names):
        expected = "kubernetes_nodes" if there == names else "!all"
        groups = {name: ["host"] for name in there}
        assert Template(play["hosts"]).render(groups=groups) == expected, there
    (task,) = play["tasks"]
    assert task["ansible.builtin.include_role"]["tasks_from"] == "nodes"
    for option, amount in {"image_bundle_path": "> 0", "image_registry_prefix": "== 0"}.items():
        assert any(option in word and word.endswith(amount) for word in task["when"])


def test_what_is_for_engines_is_for_no_cluster():
    of_engines = {"docker", "firewall", "image", "nvidia_container_toolkit"}
    plays = [play for play in PLAYS if of_engines & {*roles_of(play)}]
    assert len(plays) == 2
    assert all("clusters=false" in play["hosts"] for play in plays)


def test_a_cluster_has_what_its_services_share_before_the_first_of_them():
    """And loses what is left over after the last."""

    def places(tasks_from):
        return [
            number
            for number, play in enumerate(PLAYS)
            for task in play.get("tasks", [])
            if task.get("ansible.builtin.include_role", {})
            == {"name": "intranet.mcp.kubernetes", "tasks_from": tasks_from}
        ]

    of_services = [number for number, play in enumerate(PLAYS) if {*roles_of(play)} & {*WITH_PLAYS}]
    (shared,), (prune,), (preflight,) = map(places, ("shared", "prune", "preflight"))
    assert preflight == 0 and shared < min(of_services) and prune > max(of_services)
    # Whichever of them is chosen by its tag.
    of_plays = {tag for number in of_services for tag in PLAYS[number]["tags"]} | {"services"}
    assert {*PLAYS[shared]["tags"]} == of_plays


def test_only_hosts_of_the_platform_are_touched(tmp_path):
    """A company's inventory may have nodes of its Kubernetes beside the platform's hosts."""
    groups = {
        "litellm": ["llm1"],
        "gateway": ["llm1"],
        "postgres": ["llm1"],
        "kubernetes": ["node"],
    }
    children = {group: {"hosts": dict.fromkeys(hosts)} for group, hosts in groups.items()}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": children}}))
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", tmp_path / "hosts.yml", "playbooks/site.yml", "--list-hosts"],
        cwd=support.REPOSITORY,
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ +llm1$", done.stdout, re.MULTILINE)
    assert not re.search(r"^ +node$", done.stdout, re.MULTILINE)


def test_no_group_is_named_that_inventories_of_hosts_lack():
    """Ansible warns of each in every run."""
    tree = yaml.safe_load((support.REPOSITORY / "inventories/light/hosts.yml").read_text())
    known = {*tree["all"]["children"], *tree["all"]["children"]["platform"]["children"]}
    plain = [play["hosts"] for play in PLAYS if "{{" not in play.get("hosts", "{{")]
    named = {re.sub(r"\[0]$", "", group) for hosts in plain for group in hosts.split(":")}
    assert "litellm" in named
    assert named <= known


def test_tasks_that_need_an_engine_are_skipped_in_plays_that_have_clusters_too():
    """A play for the whole platform, or for a group that may have a cluster."""
    unguarded = []
    for play in PLAYS:
        if "platform_hosts" not in play.get("hosts", ""):
            continue
        for task in play["tasks"]:
            role = task.get("ansible.builtin.include_role", {})
            needs_engine = (role.get("name"), role.get("tasks_from")) in {
                ("intranet.mcp.service", "prune"),
                ("intranet.mcp.preflight", "release"),
            }
            if needs_engine and "kubernetes" not in str(task.get("when")):
                unguarded.append(task["name"])
    assert not unguarded


def test_every_play_can_be_chosen_by_a_tag_that_the_first_one_knows():
    known = set(PLAYS[0]["vars"]["site_tags"])
    tags = [set(play.get("tags", [])) for play in PLAYS]
    assert set().union(*tags) == known | {"always"}
    untagged = [play["name"] for play, found in zip(PLAYS, tags, strict=True) if not found]
    assert untagged == ["Show the platform's addresses"]  # only after a whole run
    for page in ("docs/en/install.md", "docs/zh-CN/install.md"):
        text = (support.REPOSITORY / page).read_text()
        (row,) = [line for line in text.splitlines() if line.startswith("| `--tags ")]
        assert not [tag for tag in known if f"`{tag}`" not in row], page
    # What takes the lock and what gives it back run whatever is chosen.
    assert tags[0] == tags[-1] == {"always"}


CATALOG = yaml.safe_load(
    (support.REPOSITORY / "roles/platform/defaults/main/main.yml").read_text()
)["platform_services"]
# Those of clusters.yml, for several hosts of data, are imported with a tag of theirs.
CLUSTERS = [{**play, "tags": ["data"]} for play in read("clusters.yml")]


def roles_of(play):
    """Return the roles that a play deploys, whose names stand there as text."""
    tasks = [task.get("ansible.builtin.include_role", {}) for task in play.get("tasks", [])]
    names = [role["role"] for role in play.get("roles", [])]
    names += [task["name"] for task in tasks if set(task) == {"name"}]
    return [name.removeprefix("intranet.mcp.") for name in names]


# Those of the others are computed.
WITH_PLAYS = [role for role in roles(CATALOG) if role not in roles(CATALOG, "services")]


@pytest.mark.parametrize("role", WITH_PLAYS)
def test_every_role_with_a_tag_is_deployed_by_plays_of_that_tag(role):
    """Ansible knows the tags and roles of plays before it reads a catalog, so they stand there."""
    tags = [play["tags"] for play in PLAYS + CLUSTERS if role in roles_of(play)]
    expected = next(e["tag"] for n, e in CATALOG.items() if role_of(n, e) == role)
    assert tags and all(found == [expected] for found in tags)
    assert expected in PLAYS[0]["vars"]["site_tags"]


@pytest.mark.parametrize("plays", [PLAYS, CLUSTERS], ids=["site", "clusters"])
def test_roles_are_deployed_in_the_order_of_the_catalog(plays):
    order = roles(CATALOG)
    found = [order.index(role) for play in plays for role in roles_of(play) if role in order]
    assert len({*found}) > 1
    assert found == sorted(found)


@pytest.mark.parametrize("role", WITH_PLAYS)
def test_plays_that_deploy_a_role_are_for_the_hosts_of_its_group(role):
    group = next(e["group"] for n, e in CATALOG.items() if role_of(n, e) == role)
    hosts = [play["hosts"] for play in PLAYS + CLUSTERS if role in roles_of(play)]
    assert hosts and all(
        group in re.findall(r"\w+", found.replace("rolling_", "")) for found in hosts
    )


def test_balancers_are_there_before_anybody_is_sent_to_them():
    def place(text):
        return next(i for i, play in enumerate(PLAYS) if text in yaml.safe_dump(play))

    first = min(place(f"''{tag}'', changing=true") for tag in ("litellm", "gateway"))
    assert place("tasks_from: bootstrap") < first
    # The primaries are found there, once there are any.
    assert place("clusters.yml") < place("tasks_from: bootstrap")


def test_make_usage_takes_a_team_of_any_name(tmp_path, monkeypatch):
    """Makefile: the name is never a part of a command."""
    makefile = (support.REPOSITORY / "Makefile").read_text()
    assert re.findall(r"(.)\$[({]TEAM[)}]", makefile) == [" "], "asked for, and nowhere written"
    (given,) = re.findall(r"^OF_TEAM = (.+)$", makefile, re.M)
    monkeypatch.setenv("TEAM", team := 'd\'Arc & "co" $(id) {{ 1 + 1 }}')
    content = "{{ usage_team }}"
    copy = {"content": content, "dest": str(tmp_path / "seen"), "mode": "0600"}
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.copy": copy}]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"a": here}}}))
    done = support.run_playbook_alone(tmp_path, "hosts.yml", *shlex.split(given))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "seen").read_text() == team
