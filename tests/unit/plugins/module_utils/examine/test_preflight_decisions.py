# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import stat

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.examine.preflight import (
    engine_problems,
    gpu_problems,
    group_problems,
    image_problems,
    is_gone,
    is_same_run,
    listening,
    lock_problem,
    missing_images,
    platform_problems,
    port_problems,
    report,
    secret_problems,
    secrets_place_problems,
    unknown_variables,
    version_problems,
)

FACTS = {
    "uid": 0,
    "os_family": "debian",
    "architecture": "x86_64",
    "kernel": "5.14.0-503.el9.x86_64",
    "memory_mb": 8000,
}
WANTED = {
    "os_family": ["debian"],
    "architecture": ["x86_64"],
    "memory_mb": 4000,
}
WEB = {"web": {"port": 8080, "publish": ["0.0.0.0"]}}
LOCAL = {"web": {"port": 8080, "publish": ["127.0.0.1"]}}


def listener(address="0.0.0.0", port=8080, holder="nginx (process 7)", container=""):
    return {"address": address, "port": port, "holder": holder, "container": container}


def container(name, port):
    return {"Names": [f"/{name}"], "Ports": [{"PublicPort": port}, {"PrivatePort": 1}]}


def test_a_good_host_has_no_problems():
    assert platform_problems(FACTS, WANTED) == []


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"uid": 1000}, "root"),
        ({"os_family": "alpine"}, "os"),
        ({"architecture": "riscv64"}, "architecture"),
        ({"kernel": "4.18.0-553.el8_10.x86_64"}, "kernel"),
        ({"memory_mb": 3999}, "memory"),
    ],
)
def test_each_fault_of_the_host_is_its_own_problem(change, check):
    assert [p.check for p in platform_problems({**FACTS, **change}, WANTED)] == [check]


@pytest.mark.parametrize(
    ("services", "listeners", "containers", "holder"),
    [
        (WEB, [], [], None),
        (WEB, [listener()], [], "nginx (process 7)"),
        (WEB, [listener("10.0.0.5")], [], "nginx (process 7)"),
        (LOCAL, [listener("10.0.0.5")], [], None),
        (LOCAL, [listener("::1")], [], "nginx (process 7)"),
        (LOCAL, [listener("::")], [], "nginx (process 7)"),
        (WEB, [listener(holder="docker-proxy")], [container("intranet-web", 8080)], None),
        (WEB, [listener(container="intranet-web")], [], None),
        (WEB, [], [container("other", 8080)], "container other"),
        (WEB, [listener(port=9090)], [container("other", 9090)], None),
        ({"web": {"port": 8080, "publish": []}}, [listener()], [], None),
    ],
)
def test_a_port_is_taken_by_anybody_but_us(services, listeners, containers, holder):
    found = [p.found for p in port_problems(services, listeners, containers, "intranet-")]
    assert found == ([f"port 8080 is held by {holder}"] if holder else [])


def test_listeners_are_read_from_the_kernels_table():
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    row = "   {n}: {address} 00000000:0000 {state} 0:0 00:00000000 00000000 0 0 {inode} 1"
    sockets = [
        ("0100007F:1F90", "0A"),
        ("00000000:0016", "0A"),
        ("0500000A:1F90", "01"),
        ("0" * 32 + ":1F91", "0A"),
        ("0500000A:1F92", "0A"),
    ]
    table = head + "\n".join(
        row.format(n=n, address=address, state=state, inode=n)
        for n, (address, state) in enumerate(sockets)
    )
    assert [(x["address"], x["port"], x["inode"]) for x in listening(table)] == [
        ("127.0.0.1", 8080, "0"),
        ("0.0.0.0", 22, "1"),
        ("::", 8081, "3"),
        ("10.0.0.5", 8082, "4"),
    ]


def test_images_are_missing_by_name_or_as_a_whole():
    assert missing_images(["a:1", "b:1"], {"a:1"}) == ["b:1"]
    assert missing_images([], {"debian:12"}) == ["intranet-mcp/*"]
    assert missing_images([], {"intranet-mcp/redis:7"}) == []


REDIS, CUDA = "intranet-mcp/redis:8", "intranet-mcp/ollama-cuda:1"
BUILD = {"name": "build", "urls": ["https://mirror"]}
BUNDLE = {"name": "bundle", "path": "/b"}
ASKED = {
    REDIS: {"ways": ["bundle", "r.example/redis:8", "build"], "places": ["r.example/redis:8"]},
    CUDA: {"ways": ["bundle", "r.example/cuda:1"], "places": ["r.example/cuda:1"]},
}
NO_REDIS = {"r.example/redis:8": "r.example/redis:8 is not there"}
NO_CUDA = {"r.example/cuda:1": "r.example/cuda:1 is not there"}


@pytest.mark.parametrize(
    ("ways", "failures", "lacking"),
    [
        ([BUILD], {}, []),
        ([BUILD], NO_REDIS, []),  # it is built
        ([BUILD], NO_CUDA, [CUDA]),  # it cannot be built
        ([BUILD], {**NO_REDIS, "https://mirror": "refused"}, [REDIS]),
        ([BUNDLE, BUILD], {**NO_REDIS, **NO_CUDA}, []),
        ([BUNDLE], {**NO_CUDA, "/b": "does not exist"}, [CUDA]),
        ([], {**NO_REDIS, **NO_CUDA}, [REDIS, CUDA]),
    ],
)
def test_each_image_needs_a_source_that_has_it(ways, failures, lacking):
    problems = image_problems([REDIS, CUDA], ways, failures, ASKED)
    assert [image for image in ASKED if any(image in p.found for p in problems)] == lacking
    for problem in problems:
        assert any(reason in problem.found for reason in failures.values())


def test_a_registry_that_is_away_is_one_problem_for_all_its_images():
    failures = dict.fromkeys([*NO_REDIS, *NO_CUDA], "r.example does not answer (refused)")
    (problem,) = image_problems(
        [REDIS, CUDA], [], failures, {k: {**v, "ways": []} for k, v in ASKED.items()}
    )
    assert REDIS in problem.found and CUDA in problem.found
    assert problem.found.count("does not answer") == 1
    assert "built" not in problem.found, "the site does not build"


def test_an_image_that_is_only_fetched_is_not_waited_for_from_a_build():
    (problem,) = image_problems([CUDA], [BUILD], {}, {CUDA: {"ways": ["bundle"], "places": []}})
    assert "cannot be built, only fetched" in problem.found
    assert "image_registry_prefix" in problem.action


def held(architecture, digest=""):
    """Return what a bundle's index says of an image."""
    return {"architecture": architecture, "digest": digest}


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("sha256:a", ""),
        ("sha256:b", "the bundle declares sha256:b of it, pinned is sha256:a"),
        ("", "the bundle declares no digest of it, pinned is sha256:a"),
    ],
)
def test_a_bundle_is_a_source_of_a_pinned_image_only_by_its_digest(declared, words):
    bundle = {**BUNDLE, "holds": {CUDA: held("amd64", declared)}}
    asked = {CUDA: {"ways": ["bundle"], "places": [], "digest": "sha256:a"}}
    problems = image_problems([CUDA], [bundle], {}, asked, "x86_64")
    assert [words in problem.found for problem in problems] == ([True] if words else [])


@pytest.mark.parametrize(
    ("holds", "words"),
    [
        ({CUDA: held("amd64")}, ""),
        ({CUDA: held("")}, ""),  # an older bundle does not say
        ({REDIS: held("amd64")}, "the bundle does not hold it"),
        ({CUDA: held("arm64")}, "the bundle holds it for arm64, this host is amd64"),
        (None, ""),  # what it holds is not known
    ],
)
def test_a_bundle_is_a_source_of_what_it_holds_for_this_architecture(holds, words):
    bundle = {**BUNDLE, "holds": holds}
    problems = image_problems([CUDA], [bundle, BUILD], NO_CUDA, ASKED, "x86_64")
    assert [words in problem.found for problem in problems] == ([True] if words else [])
    assert image_problems([CUDA], [bundle], {}, ASKED, "x86_64") == [], "a registry has it"


def test_images_nobody_asked_about_need_no_source():
    assert image_problems(["intranet-mcp/*"], [], {}, {}) == []
    assert (
        image_problems(["intranet-mcp/*"], [{**BUNDLE, "holds": {REDIS: held("")}}], {}, {}) == []
    )


GPU = {"device": True, "driver": "550.54.15", "switch": False, "fabric_manager": False}


@pytest.mark.parametrize(
    ("declared", "changes", "words"),
    [
        ("undecided", {}, "nvidia_gpu is not set"),
        ("undecided", {"device": False}, ""),
        ("no", {}, ""),
        ("unused", {}, ""),
        ("yes", {}, ""),
        ("yes", {"driver": ""}, ""),  # one that does not say its version is left to CUDA
        ("yes", {"device": False}, "neither /dev/nvidia0"),
        ("yes", {"driver": "525.147.05"}, "NVIDIA driver 525.147.05"),
        ("yes", {"switch": True}, "no fabric manager"),
        ("yes", {"switch": True, "fabric_manager": True}, ""),
    ],
)
def test_a_gpu_is_decided_about_and_can_serve(declared, changes, words):
    problems = gpu_problems({**GPU, **changes}, declared)
    assert [words in problem.found for problem in problems] == ([True] if words else [])


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("litellm", "1.84.0", ""),
        ("litellm", "1.106.2", ""),
        ("litellm", "1.83.9", "too old"),
        ("litellm", "1.82.7", "malware"),
        ("litellm", "1.107.0", "quarantined"),
        ("ollama", "0.17.0", "CVE-2026-7482"),
        ("ollama", "0.34.2", ""),
        ("mcp", "1.30.0", ""),
        ("mcp", "2.1.9", "too old"),
        ("mcp", "2.2.0", ""),
        ("mcp", "3.0", ""),
        ("nvidia-container-toolkit", "1.17.7", "too old"),
        ("nvidia-container-toolkit", "1.17.8-1", ""),
        ("@modelcontextprotocol/server-filesystem", "2025.3.28", "too old"),
        ("unheard-of", "0.0.1", ""),
    ],
)
def test_versions_meet_floors_and_the_block_list(name, version, words):
    problems = version_problems({name: version}, {})
    assert bool(problems) == bool(words)
    assert words in "".join(map(str, problems))


def test_only_the_version_named_is_allowed_past_the_list():
    assert version_problems({"litellm": "1.82.7"}, {"litellm": "1.82.7"}) == []
    assert version_problems({"litellm": "1.82.8"}, {"litellm": "1.82.7"})


def test_secrets_are_for_their_owner_alone():
    entries = {
        "s": stat.S_IFDIR | 0o700,
        "s/a": stat.S_IFREG | 0o600,
        "s/b": stat.S_IFREG | 0o640,
        "s/c": stat.S_IFREG | 0o400,
    }
    assert [p.found for p in secret_problems(entries)] == ["s/b has mode 0640"]
    assert secret_problems({"s": stat.S_IFDIR | 0o755})


def test_all_hosts_have_their_secrets_in_one_place():
    assert not secrets_place_problems({"app1": "/a", "app2": "/a"})
    (problem,) = secrets_place_problems({"app1": "/a", "app2": "/b", "app3": "/b"})
    assert problem.found == "app2 has its secrets in /b, app1 in /a"


def test_a_missing_group_comes_with_a_guess():
    groups = {"all": ["a"], "gateways": ["a"], "litellm": ["a"], "postgres": []}
    problems = group_problems(groups, ["litellm", "gateway", "postgres"], {"litellm", "gateway"})
    assert len(problems) == 2
    assert "where it says gateways" in problems[0].action


def test_only_misspelt_variables_are_unknown():
    names = ["gateway_memory_bm", "gateway_memory_mb", "gateway_owner_team", "nginx_memory_mb"]
    found = unknown_variables(names, {"gateway_memory_mb", "gateway_rules"}, {"gateway_"})
    assert [p.found for p in found] == ["variable gateway_memory_bm is unknown"]


RUN = {"node": "n", "boot": "b", "pid": 5, "started": 100}


@pytest.mark.parametrize(
    ("owner", "started", "gone"),
    [
        (RUN, 100, False),
        (RUN, 101, True),
        (RUN, None, True),
        ({**RUN, "boot": "old"}, 100, True),
        ({**RUN, "node": "elsewhere"}, None, None),
    ],
)
def test_a_run_is_gone_only_if_this_control_node_can_tell(owner, started, gone):
    assert is_gone(owner, {**RUN, "pid": 6}, lambda pid: started) is gone


def test_a_run_is_known_by_process_and_start():
    assert is_same_run(RUN, {**RUN, "since": "later"})
    assert not is_same_run(RUN, {**RUN, "started": 7})


def test_the_report_numbers_everything_and_says_that_nothing_changed():
    problems = [Finding("a", "x", "y", "do z"), lock_problem({**RUN, "host": "h"}, 60)]
    lines = report(problems, "web1").splitlines()
    assert lines[0] == "2 problems found on web1, nothing was changed:"
    assert lines[1] == "  1. x; expected y: do z"
    assert "on h (process 5)" in lines[2]


def test_an_acme_server_needs_haproxy():
    directory = "https://ca.example.internal/directory"
    (problem,) = engine_problems("traefik", directory)
    assert directory in problem.found
    assert "load_balancer_engine: haproxy" in problem.action
    assert engine_problems("haproxy", directory) == engine_problems("traefik", "") == []
