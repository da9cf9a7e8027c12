# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import stat

from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.inventory import (
    cluster_problems,
    engine_problems,
    group_problems,
    secret_problems,
    secrets_place_problems,
    unknown_variables,
)


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


def test_an_acme_server_needs_haproxy():
    directory = "https://ca.example.internal/directory"
    (problem,) = engine_problems("traefik", directory)
    assert directory in problem.found
    assert "load_balancer_engine: haproxy" in problem.action
    assert engine_problems("haproxy", directory) == engine_problems("traefik", "") == []


def test_a_host_in_group_kubernetes_is_no_cluster_unless_the_control_node_stands_for_it():
    """Companies call the nodes of a cluster so, whose kubeconfig leads to something else."""
    assert cluster_problems("cluster", "local") == []
    (problem,) = cluster_problems("node1", "ssh")
    assert "node1 is in group kubernetes and reached by ssh" in problem.found
    assert "ansible_connection: local" in problem.expected and problem.action
