# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Lines on their way from a host to the collector and to a SIEM, by real rsyslogds.

Ten minutes without the SIEM are some seconds here: what waits is in files, whatever the time. Who
wants to see all of them has INTRANET_MCP_TEST_SIEM_AWAY_SECONDS=600.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import time
from types import SimpleNamespace

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.examine import logs
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.logs import resolved
from conftest import image, wait_until
from servers.private_tls import Authority
from servers.rsyslog import LISTENER, Rsyslog

pytestmark = pytest.mark.integration

ROLE = yaml.safe_load((support.REPOSITORY / "roles/logs/defaults/main.yml").read_text())
CONTAINER = "0123456789ab" * 5 + "0123"
LINE = re.compile(
    r"<110>1 2027-01-31T10:00:00\.123Z app1 gateway - audit - "
    r'\{"time":"2027-01-31T10:00:00\.123Z","caller":"alice","n":(\d+)\}'
)
PATIENCE = 60  # seconds at most, on a machine that does much else
# How much longer the SIEM is away than the test takes for the rest, with a line a second.
AWAY_SECONDS = int(os.environ.get("INTRANET_MCP_TEST_SIEM_AWAY_SECONDS", "0"))


@pytest.fixture
def start(docker, tmp_path):
    """Start an instance: start(kind, configuration, authority, pair, ...)."""
    started = []

    def make(kind, text, authority, pair, **further):
        (tmp_path / "d").mkdir(exist_ok=True)
        one = Rsyslog(docker, image("rsyslog"), tmp_path / "d" / kind, kind.replace("_", "-"))
        one.configure(text, authority, pair, **further)
        started.append(one)
        return one

    yield make
    for one in started:
        if one.container:
            docker.try_run("rm", "-f", one.container)


@pytest.fixture
def way(start, tmp_path):
    """Return shipper, collector and SIEM, which are configured, and not started."""
    ours, theirs = (Authority(tmp_path, name) for name in ("ours", "theirs"))
    names = {name: f"log-{name}.intranet-mcp" for name in ("collector", "shipper")}
    platform, platform_key = theirs.named("mcp.example.internal")
    siem = {"host": "siem", "name": "siem.example.internal"}
    siem |= {"ca": theirs.certificate.read_text(), "certificate": platform.read_text()}
    siem["key"] = platform_key.read_text()

    def text(name, **more):
        return support.render_template("logs", name, inventory_hostname="app1", **more)

    receiver = LISTENER % ("x509/name", "mcp.example.internal")
    found = SimpleNamespace(
        theirs=theirs,
        siem=start("siem", receiver, theirs, theirs.named("siem.example.internal")),
        collector=start(
            "log_collector",
            text(
                "collector.conf.j2",
                __logs_siem=resolved(siem, 6514),
                platform_log_collector_port=6514,
                platform_log_collector_metrics_port=6516,
                logs_queue_mb=12,
            ),
            ours,
            ours.named(names["collector"]),
            **{"siem-ca.crt": theirs.certificate, "siem-own.crt": platform},
            **{"siem-own.key": platform_key},
        ),
        shipper=start(
            "log_shipper",
            text(
                "shipper.conf.j2",
                __logs_collector="log-collector:6514",
                __logs_audit_binds=[1],
                platform_log_shipper_port=6515,
            ),
            ours,
            ours.named(names["shipper"]),
        ),
    )
    found.shipper.command = ROLE["logs_shipper_service"]["command"]
    found.audit = found.shipper.mount("/audit", tmp_path / "audit") / "audit.jsonl"
    found.containers = found.shipper.mount("/containers", tmp_path / "containers")
    return found


def begin(way):
    for one in (way.siem, way.collector, way.shipper):
        one.start()


def call(way, first, last):
    """Write audit lines, as the gateway does."""
    with way.audit.open("a") as file:
        for number in range(first, last):
            file.write(f'{{"time":"2027-01-31T10:00:00.123Z","caller":"alice","n":{number}}}\n')


def say(way, service, text, stream="stderr", container=CONTAINER):
    """Write a line of a container's log, as the engine does."""
    folder = way.containers / container
    folder.mkdir(exist_ok=True)
    line = {"log": f"{text}\n", "stream": stream, "time": "2027-01-31T10:00:00.123456789Z"}
    if service:
        line["attrs"] = {"intranet.mcp.service": service}
    with (folder / f"{container}-json.log").open("a") as file:
        file.write(json.dumps(line) + "\n")


def numbers(text):
    return {int(number) for number in LINE.findall(text)}


def wait_for(one, pattern, last):
    wanted = set(range(last))
    wait_until(
        lambda: numbers(one.text(pattern)) >= wanted, PATIENCE, f"{last} lines at {one.name}"
    )


def waiting(way):
    found = logs.read(str(way.collector.home.parent), pause=1)
    return sum(queue.lines for queue in found if queue.is_stuck)


def test_no_audit_line_is_lost_while_the_siem_is_away_and_others_restart(way):
    begin(way)
    call(way, 0, 50)
    wait_for(way.siem, "received.log", 50)
    way.siem.say_goodbye()

    call(way, 50, 150)
    wait_for(way.collector, "*/audit.log", 150)
    wait_until(lambda: waiting(way) == 100, PATIENCE, "100 lines that wait for the SIEM")
    way.shipper.stop()
    call(way, 150, 250)
    way.audit.rename(f"{way.audit}.1")  # as the gateway rotates it
    call(way, 250, 300)
    way.shipper.start()
    wait_for(way.collector, "*/audit.log", 300)
    way.collector.stop()
    call(way, 300, 350)
    way.shipper.stop()
    way.shipper.start()
    way.collector.start()
    wait_for(way.collector, "*/audit.log", 350)

    for number in range(350, 350 + AWAY_SECONDS):
        call(way, number, number + 1)
        time.sleep(1)  # the time without a SIEM is what is tested
    way.siem.start()
    wait_for(way.siem, "received.log", 350 + AWAY_SECONDS)
    wait_until(lambda: not waiting(way), PATIENCE, "queues that are empty")


def test_lines_carry_host_and_service_and_those_of_others_stay(way):
    begin(way)
    say(way, "", "of somebody else", container="f" * 64)
    say(way, "gateway", '{"an":"audit line"}', stream="stdout")
    say(way, "litellm", 'two "words"\x1b[0m')
    say(way, "gateway", "a warning")
    wait_until(lambda: "a warning" in way.siem.text(), PATIENCE, "the last line")
    head = "2027-01-31T10:00:00.123456Z app1"
    assert way.siem.text().splitlines() == [
        f'<134>1 {head} litellm 0123456789ab stderr - two "words"#027[0m',
        f"<134>1 {head} gateway 0123456789ab stderr - a warning",
    ]
    kept = {str(path).partition("/logs/")[2][11:] for path in way.collector.paths("*/*/*.log")}
    assert kept == {"app1/litellm.log", "app1/gateway.log"}


@pytest.mark.parametrize("is_away", [False, True], ids=["shipper runs", "shipper is replaced"])
def test_a_log_that_takes_over_the_inode_of_another_is_read_from_its_beginning(way, is_away):
    """File systems give what was just freed to the next file, and state of files goes by inode."""
    begin(way)
    say(way, "redis", "of the one that is removed")
    wait_until(lambda: "is removed" in way.siem.text(), PATIENCE, "the first line")
    if is_away:
        way.shipper.stop()
    old, new = (way.containers / name / f"{name}-json.log" for name in (CONTAINER, "e" * 64))
    new.parent.mkdir()
    old.rename(new)
    old.parent.rmdir()
    new.write_text("")
    say(way, "redis", "of another", container="e" * 64)
    if is_away:
        way.shipper.start()
    wait_until(lambda: "of another" in way.siem.text(), PATIENCE, "the other's line")
    assert len(way.siem.text().splitlines()) == 2


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_siem_with_a_wrong_certificate_gets_nothing(way, tmp_path, wrong):
    other = way.theirs if wrong == "name" else Authority(tmp_path, "foreign")
    pair = other.named("siem.example.org" if wrong == "name" else "siem.example.internal")
    way.siem.configure(LISTENER % ("anon", "x"), way.theirs, pair)
    begin(way)
    call(way, 0, 20)
    wait_for(way.collector, "*/audit.log", 20)
    wait_until(lambda: waiting(way) == 20, PATIENCE, "20 lines that wait")
    assert way.siem.text() == ""


def test_the_collector_takes_nothing_of_who_has_no_certificate(way, docker):
    way.collector.start()
    address = (docker.ip(way.collector.container), 6514)
    wait_until(lambda: is_open(address), PATIENCE, "the collector's port")
    context = ssl._create_unverified_context()
    message = b"<110>1 2027-01-31T10:00:00Z app1 gateway - audit - forged"
    try:
        with context.wrap_socket(socket.create_connection(address, 5)) as connection:
            connection.sendall(b"%d %s" % (len(message), message))
            assert connection.recv(1) == b""  # it hangs up
    except OSError:
        pass  # it does so in the handshake
    way.shipper.start()
    call(way, 0, 1)
    wait_for(way.collector, "*/audit.log", 1)
    assert "forged" not in way.collector.text("*/audit.log")


def is_open(address):
    try:
        socket.create_connection(address, 1).close()
    except OSError:
        return False
    return True


def test_what_waits_takes_no_more_disk_than_it_may_and_files_go_on(way):
    way.collector.start()
    way.shipper.start()
    for number in range(1300):  # 20 MiB, where 12 may wait
        say(way, "litellm", f"{number} {'x' * 16000}")
    path = "*/app1/litellm.log"
    wait_until(lambda: " 1299 x" in way.collector.text(path), PATIENCE, "the last line in files")
    size = sum(path.stat().st_size for path in (way.collector.home / "state").iterdir())
    assert 4 * 2**20 < size < 17 * 2**20  # a file of 4 MiB may be begun


def test_files_are_kept_within_their_bounds(way):
    kept = way.collector.home / "logs"
    for day, size in (("2020-01-01", 10), ("2999-01-01", 3 << 20), ("2999-01-02", 2 << 20)):
        (kept / day / "app1").mkdir(parents=True)
        (kept / day / "app1/redis.log").write_bytes(b"x" * size)
        for folder in (kept / day, kept / day / "app1"):
            folder.chmod(0o777)
    way.collector.start("log-collector", "30", "4", "1", PAUSE="1")
    wait_until(lambda: not (kept / "2020-01-01").exists(), PATIENCE, "the old day to go")
    wait_until(lambda: not (kept / "2999-01-01").exists(), PATIENCE, "the older file to go")
    (left,) = way.collector.paths("*/*/*")
    assert re.fullmatch(r"redis\.log\.\d{6}", left.name)  # it was full
    way.shipper.start()
    call(way, 0, 5)
    wait_for(way.collector, "*/audit.log", 5)
