# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`health` against real things: a database, containers, certificates, ports seen from outside."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from conftest import image, wait_until

pytestmark = pytest.mark.integration


def probe(name, kind, **options):
    return {"name": name, "kind": kind, "options": options}


@pytest.fixture
def run_check(run_module):
    """Carry out one probe and return its rows."""

    def run_check(kind, **options):
        result = run_module("health", probes=[probe("p", kind, **options)], required=False)
        assert not result["failed"], result["msg"]
        return result["checks"]

    return run_check


@pytest.fixture(scope="module")
def postgres(docker):
    container = docker.start(
        "health-postgres",
        image("postgres"),
        "--volume=/var/lib/postgresql/data",
        env={
            "POSTGRES_USER": "litellm",
            "POSTGRES_PASSWORD": "not-used-here",
            "PGDATA": "/var/lib/postgresql/data/cluster",
        },
        command=("postgres", "-c", "max_connections=10", "-c", "superuser_reserved_connections=0"),
    )
    ask = ["docker", "exec", container, "pg_isready", "-h", "127.0.0.1", "-U", "litellm"]
    wait_until(lambda: not subprocess.run(ask, capture_output=True).returncode, 60, container)
    return container


DATABASE = {"user": "litellm", "database": "litellm", "pool_sum": 5, "reserve": 3}


def test_database_is_asked_itself(run_check, postgres):
    rows = {row["name"]: row for row in run_check("postgres", container=postgres, **DATABASE)}
    assert {row["status"] for row in rows.values()} == {"passed"}, rows
    assert rows["p connections"]["found"] == "1 of 10 database connections are used"
    tight = run_check("postgres", container=postgres, **{**DATABASE, "pool_sum": 8})
    assert [row["status"] for row in tight] == ["passed", "passed", "failed"]


def test_database_whose_connections_are_used_up_fails(run_check, postgres):
    sleeping = [
        subprocess.Popen(
            ["docker", "exec", "-i", postgres, "psql", "-U", "litellm", "-q"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for _number in range(9)
    ]
    try:

        def used():
            return run_check("postgres", container=postgres, **DATABASE)[1]["found"]

        wait_until(lambda: used().startswith("10 of 10 "), 30, "nine idle connections and this one")
        assert run_check("postgres", container=postgres, **DATABASE)[1]["status"] == "failed"
    finally:
        for process in sleeping:
            process.communicate()


def test_database_that_is_not_there_fails_with_its_own_words(run_check, postgres):
    (row,) = run_check("postgres", container=postgres, **{**DATABASE, "database": "other"})
    assert row["status"] == "failed" and 'database "other" does not exist' in row["found"]
    (row,) = run_check("postgres", container="itest-nowhere", **DATABASE)
    assert row["status"] == "failed" and "itest-nowhere" in row["found"]


def test_program_in_a_container_must_say_the_word(run_check, postgres):
    command = {"container": postgres, "argv": ["echo", "PONG"]}
    assert run_check("command", **command, contains="PONG")[0]["status"] == "passed"
    assert run_check("command", **command, contains="PING")[0]["status"] == "failed"
    (row,) = run_check("command", container=postgres, argv=["sh", "-c", "echo no >&2; exit 3"])
    assert (row["status"], row["found"]) == ("failed", "no")


def test_migrations_of_a_real_litellm_are_complete_until_one_is_missing(run_check, litellm):
    check = {"container": litellm.container, "argv": ["litellm-migrate", "--check"]}
    (row,) = run_check("migrations", **check)
    assert (row["status"], row["found"]) == ("passed", "0 pending, 0 half done")

    name = litellm.sql("SELECT max(migration_name) FROM _prisma_migrations")
    newest = f"WHERE migration_name = '{name}'"
    update = "UPDATE _prisma_migrations SET finished_at"
    ended = litellm.sql(f"SELECT finished_at FROM _prisma_migrations {newest}")
    litellm.sql(f"{update} = NULL {newest}")
    try:
        (row,) = run_check("migrations", **check)
        assert row["status"] == "failed" and "half done" in row["found"], row
    finally:
        litellm.sql(f"{update} = '{ended}' {newest}")
    assert run_check("migrations", **check)[0]["status"] == "passed"


def test_containers_and_files_are_compared_with_what_is_defined(docker, tmp_path, run_module):
    name = f"drift-{docker.suffix}"
    labels = {"owner": "itest", "service": name, "hash": "right"}
    docker.start(
        name,
        image("postgres"),
        *(f"--label=intranet.mcp.{key}={value}" for key, value in labels.items()),
        command=("sleep", "300"),
    )
    path = tmp_path / "a.conf"
    path.write_text("port 1\n")
    files = {str(path): hashlib.sha256(path.read_bytes()).hexdigest()}
    defined = {"name": name, "hash": "right", "image": image("postgres")}

    def rows(**changed):
        options = {"prefix": f"itest-{name}", "defined": [{**defined, **changed}], "files": files}
        probes = [probe("x", "containers", **options)]
        return run_module("health", probes=probes, required=False)["checks"]

    runs, drift = rows()
    assert (runs["status"], drift["status"]) == ("passed", "passed")
    _runs, drift = rows(hash="other")
    assert drift["found"] == f"{name}: definition or configuration changed"
    path.write_text("port 2\n")
    assert rows()[1]["found"] == f"{path}: differs from its template"
    docker.run("stop", "-t", "0", f"itest-{name}-{docker.suffix}")
    runs, _drift = rows()
    assert runs["status"] == "failed" and "is stopped" in runs["found"]


@pytest.fixture
def serve_tls(tmp_path):
    """Show a certificate that is valid for a number of days; returns the address."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl, which makes the certificates")
    listeners = []

    def serve(days):
        key, pem = tmp_path / f"{days}.key", tmp_path / f"{days}.pem"
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
        made += ["-days", str(days), "-keyout", key, "-out", pem]
        subprocess.run(made, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, key)
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def answer():
            try:
                with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                    connection.recv(1)
            except OSError:
                return  # the probe has seen enough

        threading.Thread(target=answer, daemon=True).start()
        return f"https://127.0.0.1:{listener.getsockname()[1]}/v1"

    yield serve
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(("days", "status"), [(100, "passed"), (5, "failed")])
def test_a_certificates_last_day_is_read_from_a_real_handshake(run_check, serve_tls, days, status):
    (row,) = run_check("certificate", url=serve_tls(days), days=21)
    assert row["status"] == status and "expires in" in row["found"], row


def test_no_certificate_is_a_failure(run_check):
    (row,) = run_check("certificate", url="https://127.0.0.1:9/", days=21, timeout=5)
    assert row["status"] == "failed" and "no TLS connection" in row["found"]


@pytest.fixture
def open_port():
    """A port of this machine on which somebody listens, on every address."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        yield listener.getsockname()[1]


def interfaces():
    shown = subprocess.run(["ip", "-j", "link"], capture_output=True, check=True, text=True).stdout
    return {link["ifname"] for link in json.loads(shown)}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a network namespace")
def test_ports_are_seen_as_another_machine_sees_them(run_check, docker, open_port):
    before = interfaces()
    users = {"port": open_port, "proto": "tcp", "sources": ["10.0.0.0/8"]}
    closed = {"port": 1, "proto": "tcp", "sources": ["10.0.0.0/8"]}

    def seen(by, *flows):
        asked = {"managed": [1, open_port], "prefix": f"itest-none-{docker.suffix}"}
        (row,) = run_check("ports", seen_by=by, flows=flows, **asked)
        return row

    as_user = seen("users", users)
    assert as_user["status"] == "passed", as_user
    missing = seen("users", users, closed)
    assert missing["status"] == "failed" and "not open: 1 (refused) (from 10." in missing["found"]
    # Nothing filters this port, so other networks reach it too, and that is found.
    as_other = seen("other_networks", users)
    assert as_other["status"] == "failed"
    assert f"open though undeclared: {open_port} (" in as_other["found"]
    everybody = {"port": open_port, "proto": "tcp", "sources": ["any"]}
    assert seen("other_networks", everybody)["status"] == "not_applicable"
    # The kernel takes a namespace apart after its last process has ended.
    wait_until(
        lambda: not [name for name in interfaces() - before if name.startswith("verify")],
        10,
        "the interfaces of the check to go",
    )
