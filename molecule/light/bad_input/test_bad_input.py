# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Wrong input ends in one clear message and changes nothing; a disturbed run is mended by the next.

Runs on a converged host, from the side_effect step of the Molecule sequence.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import testinfra

NAME = "molecule-light"
INVENTORY = Path(__file__).resolve().parents[1] / "inventory"
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


class Run:
    """A finished playbook run: what it said and what it changed."""

    def __init__(self, status, output):
        self.status = status
        # Wrapped lines of a message are one line again.
        self.output = re.sub(r"\s+", " ", output)
        self.changed = sum(int(number) for number in re.findall(r"changed=(\d+)", output))
        self.errors = len(re.findall(r"^\[ERROR\]|^fatal: ", output, re.MULTILINE))


def start(*arguments, inventory=INVENTORY, playbook="intranet.mcp.site", **variables):
    """Start site.yml, or another playbook, with extra variables."""
    command = [PLAYBOOK, "-i", inventory, "-e", json.dumps(variables), *arguments]
    return subprocess.Popen(
        [*command, playbook],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=600)
    print(output)
    return Run(process.returncode, output)


def play(*arguments, **options):
    return finish(start(*arguments, **options))


@pytest.fixture(scope="module")
def host():
    return testinfra.get_host(f"docker://{NAME}")


def wait_inside(host, probe, tenths=50):
    """Wait on the host, for a bounded time, until a command succeeds there."""
    host.check_output(f"for i in $(seq {tenths}); do {probe} && exit; sleep 0.1; done; exit 1")


def state(host):
    """Return what a run could change: containers, configuration, rules."""
    return host.check_output(
        "docker ps --all --no-trunc --format '{{.ID}} {{.Names}}' | sort;"
        "find /etc/intranet-mcp -printf '%p %m %T@\n' | sort; nft list ruleset | grep -v counter"
    )


@pytest.fixture
def unchanged(host):
    """Fail a test after which the host is not what it was before."""
    before = state(host)
    yield
    assert state(host) == before


# One report names them all: preflight goes on after each.
REPORTED_TOGETHER = {
    "a wrong type": (
        {"ollama_context_length": "many"},
        ["variable ollama_context_length: argument", "'many'\" cannot be converted to an int"],
    ),
    "a misspelt variable": (
        {"ollama_context_lenght": 4096},
        ["variable ollama_context_lenght is unknown; expected ollama_context_length"],
    ),
    "two services on one port": (
        {"platform_gateway_port": 4000},
        [f"port 4000 on {NAME} is claimed by gateway and litellm"],
    ),
    "an alias of two people": (
        {"teams": [{"name": "a", "members": [{"alias": "alice"}, {"alias": "Alice"}]}]},
        ["the alias Alice is there twice"],
    ),
    "a team with a model and a server that are not there": (
        {"teams": [{"name": "b", "models": ["gpt-9"], "mcp": {"filesytem": ["*"]}}]},
        ["unknown model gpt-9", "unknown MCP server filesytem"],
    ),
    "somebody to be told without a way": (
        {"prometheus_receivers": [{"name": "duty"}]},
        ["prometheus_receivers: duty has neither webhook nor email nor a robot"],
    ),
    "an unknown key of a service": (
        {"redis_service": {"name": "redis", "imagge": "redis"}},
        ["variable redis_service: service 'redis': unknown key imagge"],
    ),
}
# Without a list of tool servers nothing else can be judged.
REPORTED_ALONE = {
    "an unknown key of a tool server": (
        {"mcp_servers": {"tickets": {"prot": 8110, "command": ["x"]}}},
        ["mcp_servers.tickets: unknown key 'prot'"],
    ),
    "an image that no manifest has": (
        {"mcp_servers": {"tickets": {"image": "no-such-tool", "command": ["x"], "port": 8110}}},
        ["mcp_servers.tickets.image is 'no-such-tool'", "a full reference"],
    ),
}


@pytest.fixture(scope="module")
def report_of_all(host):
    """Run site.yml once, with every wrong variable that does not hide the others."""
    together = {}
    for variables, _expected in REPORTED_TOGETHER.values():
        for name, value in variables.items():
            together[name] = together.get(name, []) + value if name == "teams" else value
    before = state(host)
    run = play(**together)
    assert state(host) == before
    return run


@pytest.mark.parametrize("case", REPORTED_TOGETHER)
def test_one_report_refuses_wrong_variables(report_of_all, case):
    _variables, expected = REPORTED_TOGETHER[case]
    check_refused(report_of_all, expected)
    assert f"problems found on {NAME}, nothing was changed" in report_of_all.output


@pytest.mark.parametrize("case", REPORTED_ALONE)
@pytest.mark.usefixtures("unchanged")
def test_wrong_tool_servers_are_refused(case):
    variables, expected = REPORTED_ALONE[case]
    check_refused(play(**variables), expected)


def check_refused(run, expected):
    assert run.status != 0
    assert run.changed == 0
    assert not [text for text in expected if text not in run.output]


@pytest.mark.usefixtures("unchanged")
def test_a_missing_group_and_secrets_that_were_left_behind_are_named(tmp_path):
    text = (INVENTORY / "hosts.yml").read_text()
    (tmp_path / "hosts.yml").write_text(text.replace("litellm:", "litelm:"))
    named = "did you mean litellm where it says litelm"
    lost = "has data of an earlier platform, and postgres_password is not in"
    check_refused(play(inventory=tmp_path), ["group litellm has no host", named, lost])


@pytest.mark.usefixtures("unchanged")
def test_a_second_host_of_the_monitoring_is_refused(tmp_path):
    (tmp_path / "hosts.yml").write_text(
        "all: {hosts: {second: {ansible_host: 10.77.60.11, ansible_port: 2222}},"
        " children: {monitoring: {hosts: {second: {}}}}}\n"
    )
    check_refused(play("-i", str(tmp_path)), ["group monitoring has 2 hosts", "leave one host"])


@pytest.mark.usefixtures("unchanged")
def test_without_root_the_way_to_root_is_named():
    check_refused(play(ansible_become=False), ["expected root", "ansible_become: true"])


@pytest.mark.usefixtures("unchanged")
def test_a_taken_port_is_found_with_its_holder(host):
    # Loopback, so that nothing but preflight can notice.
    program = "import socket, signal; s = socket.create_server(('', 8199)); signal.pause()"
    command = ["docker", "exec", NAME, "python3", "-c", program]
    taken = subprocess.Popen(command)
    try:
        wait_inside(host, "ss -ltnH sport = :8199 | grep -q .")
        run = play(platform_gateway_port=8199)
    finally:
        host.run("pkill --full signal.pause")
        taken.wait(10)
    check_refused(run, ["port 8199 is held by python3"])


@pytest.mark.usefixtures("unchanged")
def test_a_model_that_does_not_exist_is_named(tmp_path):
    """Nothing refuses it before Ollama is asked, so its role alone is run."""
    site = tmp_path / "site.yml"
    site.write_text("- {hosts: ollama, roles: [intranet.mcp.ollama]}\n")
    models = {"ollama_models": [{"name": "no-such-model:1b"}], "ollama_stall_retries": 0}
    run = play(playbook=str(site), ollama_registry="127.0.0.1:1", **models)
    assert run.status != 0
    assert "no-such-model:1b" in run.output


@pytest.mark.usefixtures("unchanged")
def test_an_unreachable_source_of_images_is_named():
    image = "127.0.0.1:1/site/no-such-tool:1"
    servers = {"tickets": {"image": image, "command": ["x"], "port": 8110}}
    run = play(
        mcp_servers=servers, image_sources=["registry"], image_registry_prefix="127.0.0.1:1/site"
    )
    assert run.status != 0
    # What came from the bundle, which is no source now, is asked for too.
    (line,) = re.findall(r"images are missing \(([^)]*)\) and no source has them", run.output)[:1]
    assert {"intranet-mcp/tool-tickets:1", "intranet-mcp/redis:8.0"} <= set(line.split(", "))
    assert "127.0.0.1:1 does not answer" in run.output


# What these runs leave is examined by the doctor's first test, and verified by later steps.
UNVERIFIED = ("--skip-tags", "verify")


def test_a_run_whose_engine_dies_is_mended_by_the_next_while_all_others_are_refused(host):
    disturbed = start(*UNVERIFIED, redis_memory_mb=448)
    seen = "docker ps --filter name=^intranet-redis$ --filter status=running --quiet | grep -q ."
    wait_inside(host, f"! {{ {seen}; }}", 1800)
    host.check_output("systemctl kill --signal KILL docker")
    run = finish(disturbed)
    assert run.status == 0 or run.errors, "it either went on or said why it stopped"

    next_one = start(*UNVERIFIED)
    try:
        # The run that failed may have left its lock; this one's own is waited for.
        wait_inside(host, f"grep -q '\"pid\": {next_one.pid},' /run/intranet-mcp/lock", 1200)
        others = [play(), play("--tags", "fix", playbook="intranet.mcp.doctor")]
    finally:
        mended = finish(next_one)
    for other in others:
        check_refused(other, ["another run is in progress"])
    assert mended.status == 0
    limit = "docker inspect --format '{{.HostConfig.Memory}}' intranet-redis"
    assert host.check_output(limit) == str(384 * 2**20)
