# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Break a running platform for real, let the doctor name it, mend it, see it well again.

Well again means that the doctor finds nothing and has examined everything. Verify passes every
check in the sequence's next verify step. Breakages that do not hide one another share an
inspection, for each takes seconds on two cores. Runs on a converged host, from the side_effect step
of the Molecule sequence, in this order.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import urllib.request

import pytest
import yaml
from conftest import INVENTORY, NAME, REPOSITORY, play, wait_inside, wait_until
from mcp_messages import INITIALIZE
from proxy import Proxy

DATABASE_URL = "/etc/intranet-mcp/services/litellm/secrets/env/DATABASE_URL"
SMALL_DISK = "/var/lib/intranet-mcp/weights"
DAEMON_JSON = "/etc/docker/daemon.json"
LITELLM_CONFIG = "/etc/intranet-mcp/services/litellm/config/config.yaml"
PSQL = "docker exec intranet-postgres psql -XAtq -U litellm -d litellm -c"


def is_well(seen):
    """Tell whether the doctor found nothing, examined everything, and said so."""
    return seen.status == 0 and not seen.findings and not seen.unseen and "Healthy" in seen.output


def test_a_running_platform_is_well(doctor):
    assert is_well(doctor())


def test_stopped_containers_networks_and_firewall_are_mended(doctor, verify, host):
    host.check_output("docker stop --time 1 intranet-redis intranet-ollama intranet-prometheus")
    host.check_output("docker pause intranet-tool-example")
    zone = "intranet-mcp-tool-filesystem"
    host.check_output(f"docker network disconnect {zone} intranet-tool-filesystem")
    host.check_output("nft delete table inet intranet_mcp")

    seen = doctor()
    assert seen.status != 0
    assert {
        ("container", "redis"),
        ("container", "ollama"),
        ("container", "prometheus"),
        ("container", "tool-example"),
        ("network", "tool-filesystem"),
        ("firewall", ""),
    } <= seen.found
    assert "is paused" in seen.one("container", "tool-example")["found"]
    assert "not loaded" in seen.one("firewall")["found"]
    # The table is the last that is said of the platform, and each finding is three lines of it.
    assert re.search(r"found: .*\n.*expected: .*\n.*do: ", seen.output)
    assert seen.output.index("Unhealthy: ") > seen.output.index("TASK [intranet.mcp.doctor : Show")
    # That verify sees it, too, is what makes its passing worth something later on.
    assert {"redis answers", "ollama is alive", f"containers {NAME}"} <= verify(verify_models=[])

    assert is_well(doctor(fix=True))


@pytest.fixture
def undo(host):
    """Commands for the host after a test, whatever became of it."""
    commands = []
    yield commands.append
    for command in commands:
        host.run(command)


def catalog_with_ollama_for_everybody():
    path = REPOSITORY / "roles/platform/defaults/main/main.yml"
    services = yaml.safe_load(path.read_text())["platform_services"]
    services["ollama"]["clients"].append("users")
    return services


def test_models_ports_passwords_and_names_are_mended(doctor, host, tmp_path):
    site = tmp_path / "site.yml"
    site.write_text("- {hosts: ollama, roles: [intranet.mcp.ollama]}\n")
    wrong = {"platform_services": catalog_with_ollama_for_everybody()}
    assert play(str(site), ollama_context_length=2048, **wrong).returncode == 0
    host.check_output("docker exec intranet-ollama ollama rm smollm2-embed:135m")
    host.check_output(f"sed -i 's/:[^:@]*@/:stale@/' {DATABASE_URL}")
    host.check_output(f"sed -i s,ollama_chat/,ollama/, {LITELLM_CONFIG}")
    host.check_output("docker restart --time 1 intranet-litellm")
    # A bundle that somebody loaded by hand: the same name, another image.
    name = host.check_output("docker inspect --format '{{.Config.Image}}' intranet-tool-filesystem")
    host.check_output(f"docker commit intranet-tool-filesystem {name}")
    # What a program that "resets the firewall" does in a container: its name service is gone.
    pid = host.check_output("docker inspect --format '{{.State.Pid}}' intranet-gateway")
    host.check_output(f"nsenter --target {pid} --net iptables --table nat --flush")

    seen = doctor()
    assert {
        ("model", "ollama"),
        ("context", "ollama"),
        ("port", "ollama"),
        ("database", "litellm"),
        ("litellm", "litellm"),
        ("image", "tool-filesystem"),
        ("dns", "gateway"),
    } <= seen.found
    assert "smollm2-embed:135m" in seen.one("model", "ollama")["found"]
    assert "2048" in seen.one("context", "ollama")["found"]
    assert "publishes 0.0.0.0:11434" in seen.one("port", "ollama")["found"]
    assert "stale" in seen.one("database", "litellm")["found"]
    assert "drops tool calls" in seen.one("litellm", "litellm")["found"]

    assert is_well(doctor(fix=True))


LEFT_OPEN = """
import psycopg
url = open("/secrets/env/DATABASE_URL").read()
held = [psycopg.connect(url, application_name="left-open") for _ in range(91)]
held[0].execute("select pg_sleep(300)")
"""


def test_a_full_database_half_done_migrations_ports_and_disks_are_named(
    doctor, host, background, undo
):
    # A port that somebody else took while the gateway was down.
    host.check_output("docker stop --time 1 intranet-gateway")
    program = "import socket, signal; s = socket.create_server(('', 8080)); signal.pause()"
    background("ss -ltnH sport = :8080 | grep -q .", "python3", "-c", program)
    # The database's own record of a migration that was killed.
    (migration,) = host.check_output(
        f"{PSQL} 'select max(migration_name) from _prisma_migrations'"
    ).splitlines()
    host.check_output(
        f'{PSQL} "update _prisma_migrations set finished_at = null '
        f"where migration_name = '{migration}'\""
    )
    # Sessions that a left-over script holds.
    python = "docker exec --detach intranet-litellm /opt/litellm/bin/python -c"
    host.check_output(f"{python} '{LEFT_OPEN}'")
    held = "select count(*) > 90 from pg_stat_activity where application_name = 'left-open'"
    wait_inside(host, f'{PSQL} "{held}" | grep -qx t', 300)
    # A password that was changed in the database alone.
    host.check_output(f"{PSQL} \"alter role litellm password 'other'\"")
    # A small disk of its own among the platform's data, filled to the last byte.
    host.check_output(f"mount -t tmpfs -o size=2m tmpfs {SMALL_DISK}")
    undo(f"umount {SMALL_DISK}")
    host.run(f"dd if=/dev/zero of={SMALL_DISK}/full bs=1M")

    seen = doctor()
    assert ("container", "gateway") in seen.found
    assert "port 8080 is held by python3" in seen.one("port")["found"]
    assert "never ended" in seen.one("migration", "litellm")["found"]
    full = [f["found"] for f in seen.findings if "connections are used" in f["found"]]
    assert full and "by left-open" in full[0]
    assert f"0 MiB free at {SMALL_DISK}" in seen.one("disk")["found"]
    refused = [f for f in seen.findings if f["fix"] == "password"]
    assert refused

    # Only a person may do these: the doctor's own words are followed.
    command = seen.one("migration", "litellm")["action"].partition("then: ")[2]
    host.check_output(command)
    end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name ="
    host.check_output(f"{PSQL} \"{end} 'left-open'\"")
    host.check_output(f"umount {SMALL_DISK}")
    background.stop()

    assert is_well(doctor(fix=True))


def ask(url, body=None, key=""):
    """Ask a service of the host from outside and return its answer."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    headers["Accept"] = "application/json, text/event-stream"
    sent = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, sent, headers), timeout=30) as answer:
        return json.load(answer)


def ask_litellm(network, path, body):
    """Ask LiteLLM as its administrator."""
    key = (INVENTORY / ".intranet-mcp/secrets" / "litellm_master_key").read_text().strip()
    return ask(f"http://{network[0]}:4000{path}", body, key)


REFUSED = "--insert INPUT --protocol tcp --dport {} --jump REJECT --reject-with tcp-reset"


def use_example(network):
    """Ask for a tool server as a CLI does, and return what the gateway thinks of it then."""
    url = f"http://{network[0]}:8080/"
    key = (INVENTORY / ".intranet-mcp/secrets" / "key-verify").read_text().strip()
    with contextlib.suppress(OSError, ValueError):
        ask(f"{url}servers/example/mcp", INITIALIZE, key)
    return ask(url, key=key)["servers"]["example"]["state"]


# Grows by a few MiB less than what it is given, and keeps it.
LEAK = "{ head -c %s /dev/zero; sleep 600; } | tail"


def test_memory_dead_upstreams_and_aliases_are_named(doctor, host, network):
    # Less memory than the program needs to start, and enough for what starts it (a few MiB: a
    # container whose start itself fails is not started again): the kernel ends it, over and over.
    host.check_output("docker stop --time 1 intranet-tool-filesystem")
    host.check_output("docker update --memory 16m --memory-swap 16m intranet-tool-filesystem")
    host.run("docker start intranet-tool-filesystem")
    ended = "docker inspect --format '{{.State.OOMKilled}} {{.State.Status}}'"
    # A server that runs and turns the gateway away, which notices when somebody asks for it.
    pid = host.check_output("docker inspect --format '{{.State.Pid}}' intranet-tool-example")
    host.check_output(f"nsenter --target {pid} --net iptables {REFUSED.format(8000)}")
    # A program that has nearly used up what it may.
    given = host.check_output("docker inspect --format '{{.HostConfig.Memory}}' intranet-redis")
    leak = LEAK % int(int(given) * 0.92)
    host.check_output(f"docker exec --detach intranet-redis sh -c '{leak}'")
    used = "docker stats --no-stream --format '{{.MemPerc}}' intranet-redis"
    wait_inside(host, f"{used} | grep -q '^9[1-9]'", 300)
    # Two teams that somebody gave one name by hand.
    twins = [ask_litellm(network, "/team/new", {"team_alias": "twin"})["team_id"] for _ in "ab"]
    wait_inside(host, f"{ended} intranet-tool-filesystem | grep -qx 'true restarting'", 600)
    wait_until(lambda: use_example(network) != "up", 90)

    seen = doctor()
    assert "killed for memory" in seen.one("container", "tool-filesystem")["found"]
    assert ("upstream", "tool-example") in seen.found
    assert "is killed at the limit" in seen.one("memory", "redis")["found"]
    assert "2 teams with the alias twin" in seen.one("alias", "litellm")["found"]

    # Only a person may do these.
    assert ask_litellm(network, "/team/delete", {"team_ids": twins})
    host.check_output("docker restart --time 1 intranet-redis")

    assert is_well(doctor(fix=True))


# Ends well once Prometheus has noticed that nobody answers in the place of three jobs.
THREE_DOWN = """
import json, urllib.request
url = "http://127.0.0.1:9090/api/v1/targets"
targets = json.load(urllib.request.urlopen(url, timeout=5))["data"]["activeTargets"]
raise SystemExit([t["health"] for t in targets].count("down") < 3)
"""

IS_HEALTHY = "docker inspect --format '{{{{.State.Health.Status}}}}' {} | grep -qx healthy"


def test_what_the_monitoring_cannot_see_and_cannot_tell_is_named(doctor, host):
    # An exporter that runs and answers nobody, and an Alertmanager that is stopped.
    pid = host.check_output("docker inspect --format '{{.State.Pid}}' intranet-postgres_exporter")
    host.check_output(f"nsenter --target {pid} --net iptables {REFUSED.format(9187)}")
    host.check_output("docker stop --time 1 intranet-alertmanager")
    wait_inside(host, f"python3 -c '{THREE_DOWN}'", 300)

    look = doctor()
    assert look.found == {("container", "alertmanager"), ("monitoring", "postgres_exporter")}
    said = look.one("monitoring", "postgres_exporter")
    assert "cannot read postgres, postgres_exporter on molecule-light" in said["found"]
    assert (said["action"], said["fix"]) == ("docker restart intranet-postgres_exporter", "restart")

    assert is_well(doctor(fix=True))


def test_a_broken_daemon_json_and_a_dead_engine_are_mended(doctor, host):
    # As the playbook's own module keeps it when it changes the file.
    host.check_output(f"cp {DAEMON_JSON} {DAEMON_JSON}.1.2026-01-01@00:00:00~")
    host.check_output(f"echo '{{\"debug\": true,' >{DAEMON_JSON}")
    host.run("systemctl restart docker")

    seen = doctor()
    assert seen.found == {("engine", ""), ("daemon.json", "")}
    assert "daemon.json" in seen.one("engine")["found"], "the engine's own words are there"
    assert seen.unseen

    assert is_well(doctor(fix=True))
    assert host.file(f"{DAEMON_JSON}.broken").exists, "nothing is deleted"
    host.check_output(f"rm {DAEMON_JSON}.broken {DAEMON_JSON}.1*~")

    # What a tool does that writes the file anew and knows nothing of ours.
    host.check_output(f"echo '{{}}' >{DAEMON_JSON}")
    seen = doctor()
    assert "grow without limit" in seen.one("daemon.json")["found"]
    assert is_well(doctor(fix=True))


# A certificate of 2020: only openssl's own small authority makes one that has ended.
EXPIRED = """
cd /run && : >index
for line in [ca] default_ca=d [d] database=index serial=serial rand_serial=yes policy=p [p]; do
    echo "$line"
done >ca
openssl req -new -newkey rsa:2048 -nodes -subj /CN=x -keyout x.key -out x.csr
openssl ca -config ca -batch -selfsign -keyfile x.key -in x.csr -out x.pem -outdir . -md sha256 \\
    -startdate 20200101000000Z -enddate 20210101000000Z
"""


GOOD = "cd /run && openssl req -x509 -key x.key -subj /CN=x -days 100 -out x.pem"
# Another tool's firewall, before everything, that knows nothing of the platform.
CLOSED = """
nft add table inet other
nft add chain inet other closed '{ type filter hook prerouting priority -300; }'
nft add rule inet other closed iifname eth0 tcp dport 4000 drop
"""


def test_proxies_certificates_names_and_other_firewalls_are_named(
    doctor, host, network, background, undo
):
    address, me = network
    # After its engine was restarted it counts as starting until it is checked again.
    wait_inside(host, IS_HEALTHY.format("intranet-litellm"), 600)
    host.check_output(CLOSED)
    undo("nft delete table inet other")
    files = "-cert /run/x.pem -key /run/x.key"
    host.check_output(EXPIRED)
    serve = ["sh", "-c", f"exec openssl s_server -quiet -accept 8443 {files}"]
    background("ss -ltnH sport = :8443 | grep -q .", *serve)
    options = {
        "doctor_certificates": ["https://127.0.0.1:8443"],
        "doctor_certificate_days": 14,
        "doctor_names": ["llm.example.internal"],
        "doctor_proxy_patience_seconds": 2,
        "doctor_proxy_seconds": 4,
    }
    with (
        Proxy(address, 8080, "pass") as good,
        Proxy(address, 8080, "buffer") as first,
        Proxy(address, 8080, "cut") as second,
        Proxy(address, 8080, "compress") as third,
    ):
        proxies = (good, first, second, third)
        options["doctor_proxies"] = [f"http://{me}:{p.port}" for p in proxies]
        # Pools that this database cannot serve, which is a matter of numbers in the inventory.
        seen = doctor(litellm_db_pool=99, **options)
        said = [f["found"] for f in seen.findings if f["check"] == "proxy"]
        assert len(said) == 3, said
        assert f"{me}:{first.port} buffers" in said[0]
        assert f"{me}:{second.port} cuts event streams after 2 s" in said[1]
        assert f"{me}:{third.port} compresses event streams (gzip)" in said[2]
        assert "expired" in seen.one("certificate")["found"]
        assert "cannot resolve llm.example.internal" in seen.one("dns")["found"]
        assert "pools may take" in seen.one("database")["found"]
        assert "port 4000 of litellm: no answer" in seen.one("firewall", "litellm")["found"]

        # What stands outside the platform is mended outside of it.
        first.mode = second.mode = third.mode = "pass"
        background.stop()
        host.check_output(GOOD)
        background("ss -ltnH sport = :8443 | grep -q .", *serve)
        host.check_output("nft delete table inet other")
        host.check_output("echo 127.0.0.1 llm.example.internal >>/etc/hosts")
        undo("sed '/llm.example.internal/d' /etc/hosts >/run/hosts; cat /run/hosts >/etc/hosts")
        assert is_well(doctor(**options))


LATE = """\
import sys, time
now = time.time
time.time = lambda: now() - 600
"""


@pytest.fixture
def wrong_clock(host, tmp_path):
    """No container may set its clock, so Python on the host reads a wrong one."""
    host.check_output("mkdir -p /tmp/late")
    subprocess.run(
        ["docker", "exec", "-i", NAME, "tee", "/tmp/late/sitecustomize.py"],
        input=LATE, text=True, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    host.check_output(
        "printf '#!/bin/sh\\nPYTHONPATH=/tmp/late exec python3 \"$@\"\\n' >/tmp/late/python3"
    )
    host.check_output("chmod +x /tmp/late/python3")
    late = tmp_path / "late.yml"
    late.write_text(
        f"all: {{hosts: {{{NAME}: {{ansible_python_interpreter: /tmp/late/python3}}}}}}\n"
    )
    return late


CDI = """
cdiVersion: "0.6.0"
kind: nvidia.com/gpu
devices: [{name: all, containerEdits: {env: [A=b]}}]
"""
RUNTIME = """
import json
settings = json.load(open("/etc/docker/daemon.json"))
settings["runtimes"] = {"nvidia": {"path": "runc"}}
json.dump(settings, open("/etc/docker/daemon.json", "w"))
"""


def test_missing_and_lost_gpus_and_a_wrong_clock_are_named(doctor, host, undo, wrong_clock):
    """There is no GPU here: what a driver and NVIDIA's toolkit leave on a host is put there."""

    def said(**options):
        seen = doctor(nvidia_gpu=True, **options)
        return seen, [f for f in seen.findings if f["check"] == "gpu"]

    # A clock that is off is seen in the same inspection.
    seen, gpus = said(inventories=[wrong_clock])
    assert "s off the control node's" in seen.one("clock")["found"]
    missing = " ".join(finding["found"] for finding in gpus)
    for what in ("no NVIDIA driver", "no runtime nvidia", "no CDI spec"):
        assert what in missing

    host.check_output(f"cp {DAEMON_JSON} /run/daemon.json; mkdir -p /etc/cdi")
    undo(f"cp /run/daemon.json {DAEMON_JSON}; systemctl reload docker; rm -r /dev/nvidia0 /etc/cdi")
    host.check_output("mknod /dev/nvidia0 c 195 0")
    host.check_output(f"echo '{CDI}' >/etc/cdi/nvidia.yaml; python3 -c '{RUNTIME}'")
    host.check_output("systemctl reload docker")
    _seen, (lost,) = said()
    assert "Ollama's container lost its GPU" in lost["found"] and "daemon-reload" in lost["found"]
    assert (lost["fix"], lost["service"]) == ("restart", "ollama")


def test_with_the_right_time_and_without_a_gpu_the_host_is_well(doctor):
    assert is_well(doctor())
