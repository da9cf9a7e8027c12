# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The client of HAProxy's runtime API, against sockets that answer as HAProxy does."""

from __future__ import annotations

import socketserver
import threading

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.haproxy import HAProxy
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    NotReady,
    Refused,
    Unreachable,
)

HEAD = "# pxname,svname,scur,status,check_status,check_code,last_chk\n"


class FakeHAProxy:
    """Both sockets; what they answer is written down by the test."""

    def __init__(self, directory):
        self.directory = directory
        self.commands = []
        self.rows = [["gateway", "app1", 0, "UP", "L7OK", 200, "OK"]]
        self.reload = "Success=1"
        self.after_drain = []
        self.admin = 0
        self.servers = [self._listen(name) for name in ("admin.sock", "master.sock")]

    def _listen(self, name):
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                command = self.rfile.readline().decode().strip()
                fake.commands.append(command)
                self.wfile.write(fake.answer(command).encode())

        server = socketserver.ThreadingUnixStreamServer(str(self.directory / name), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def answer(self, command):
        if command.startswith("show stat"):
            if self.after_drain and any("state drain" in c for c in self.commands):
                self.rows = [self.after_drain.pop(0)]
            return HEAD + "".join(",".join(map(str, row)) + "\n" for row in self.rows) + "\n"
        if command.startswith("show servers state"):
            head = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state\n"
            return head + "".join(f"6 {one} 192.0.2.1 2 {self.admin}\n" for one in self._places())
        if command == "reload":
            return self.reload
        return "" if "gateway/app1" in command else "No such server.\n"

    def _places(self):
        return [f"{row[0]} {number} {row[1]}" for number, row in enumerate(self.rows, 1)]

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def fake(tmp_path):
    running = FakeHAProxy(tmp_path)
    yield running
    running.close()


@pytest.fixture
def haproxy(fake):
    return HAProxy(str(fake.directory))


def test_a_server_is_read_with_what_its_check_said(haproxy):
    server = haproxy.server("gateway", "app1")
    assert (server.sessions, server.is_drained, server.is_healthy) == (0, False, True)


def test_a_server_of_another_backend_is_another_server(haproxy):
    assert haproxy.server("litellm", "app1") is None


@pytest.mark.parametrize(
    ("status", "admin"), [("DRAIN", 8), ("DRAIN 1/2", 8), ("MAINT", 1), ("DOWN", 8), ("DOWN", 0)]
)
def test_a_drained_server_is_told_from_a_dead_one(fake, haproxy, status, admin):
    """One that is both has the status of a dead one."""
    fake.rows = [["gateway", "app1", 0, status, "* L7OK", 200, "OK"]]
    fake.admin = admin
    server = haproxy.server("gateway", "app1")
    assert server.is_drained == bool(admin)


@pytest.mark.parametrize(
    ("status", "check", "healthy"),
    [
        ("UP", "L7OK", True),
        ("DRAIN", "* L7OK", True),
        ("DRAIN 1/2", "* L7OK", True),
        ("MAINT", "* L7OK", True),
        ("DOWN 1/2", "L7OK", False),
        ("UP 1/2", "L7STS", False),
    ],
)
def test_a_server_is_healthy_when_it_would_get_requests(fake, haproxy, status, check, healthy):
    fake.rows = [["gateway", "app1", 0, status, check, 200, "OK"]]
    assert haproxy.server("gateway", "app1").is_healthy == healthy


def test_draining_waits_until_the_last_request_has_ended(fake, haproxy):
    fake.after_drain = [["gateway", "app1", n, "DRAIN", "L7OK", 200, "OK"] for n in (2, 1, 0)]
    haproxy.set_state("gateway", "app1", "drain")
    assert haproxy.wait_until_idle("gateway", "app1", 10) == 0
    assert fake.after_drain == []


def test_requests_that_outlast_the_wait_are_counted(fake, haproxy):
    fake.rows = [["gateway", "app1", 3, "DRAIN", "L7OK", 200, "OK"]]
    assert haproxy.wait_until_idle("gateway", "app1", 0) == 3


def test_a_server_that_stays_unready_is_an_error_with_what_its_check_said(fake, haproxy):
    fake.rows = [["gateway", "app1", 0, "DOWN", "L7STS", 503, "Service Unavailable"]]
    with pytest.raises(NotReady, match=r"gateway on app1 .* L7STS 503"):
        haproxy.wait_until_healthy("gateway", "app1", 0)


def test_an_unknown_server_is_refused_in_words(haproxy):
    with pytest.raises(Refused, match="No such server"):
        haproxy.set_state("gateway", "app9", "drain")


def test_a_reload_hands_on_what_is_known_and_leaves_nothing_behind(fake, haproxy):
    haproxy.reload()
    assert fake.commands == ["show servers state", "reload"]
    assert not (fake.directory / "state").exists()


def test_a_refused_configuration_is_an_error(fake, haproxy):
    fake.reload = "Success=0\n--\n[ALERT] unknown keyword"
    with pytest.raises(Refused, match="unknown keyword"):
        haproxy.reload()


def test_a_balancer_that_does_not_run_is_told_from_one_that_does(tmp_path):
    haproxy = HAProxy(str(tmp_path))
    assert not haproxy.is_there
    with pytest.raises(Unreachable, match="does not answer"):
        haproxy.ask("admin.sock", "show info")
