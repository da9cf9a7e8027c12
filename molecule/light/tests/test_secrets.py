# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Secrets are where they must be, and nowhere else."""

from __future__ import annotations

import json

from conftest import INVENTORY


def leaked(secrets, text):
    """Return the names of secrets whose value stands in a text."""
    return sorted(name for name, value in secrets.items() if value and value in text)


def test_the_control_node_keeps_them_for_its_user_alone(secrets):
    assert len(secrets) >= 4
    open_files = [
        str(path)
        for path in (INVENTORY / ".intranet-mcp/secrets").rglob("*")
        if path.is_file() and path.stat().st_mode & 0o077
    ]
    assert not open_files


def test_the_host_keeps_them_from_other_accounts(host):
    found = host.check_output(
        "find /etc/intranet-mcp /var/lib/intranet-mcp -path '*/secrets/*' -type f -printf '%m %p\n'"
    )
    modes = [line.split(" ", 1) for line in found.splitlines()]
    assert modes
    assert not [path for mode, path in modes if int(mode, 8) & 0o037]


def test_other_accounts_cannot_read_them(host, secrets):
    everything = "setpriv --reuid nobody --clear-groups grep -rs '' /etc/intranet-mcp; true"
    assert not leaked(secrets, host.check_output(everything))


def test_docker_inspect_shows_none(containers, secrets):
    assert not leaked(secrets, json.dumps(containers))


def test_logs_hold_none(host, containers, secrets):
    for container in containers.values():
        log = host.run(f"docker logs {container['Id']} 2>&1").stdout
        assert not leaked(secrets, log), container["Name"]
    assert not leaked(secrets, host.run("journalctl --no-pager").stdout)


def test_command_lines_show_none(host, secrets):
    assert not leaked(secrets, host.check_output("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"))


def test_reports_hold_none(secrets):
    for report in (INVENTORY / ".intranet-mcp/reports").rglob("*.json"):
        assert not leaked(secrets, report.read_text()), report.name
