# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""PostgreSQL on three hosts, as the roles define it: who dies costs no committed row."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.cluster.patroni import Patroni
from conftest import image, wait_until
from servers.cluster import MEMBERS, Site

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="the roles hand files to the containers' users"),
]

FAILOVER_SECONDS = 30
WRITER = Path(__file__).parent / "servers" / "writers.py"


class Writer:
    """Commits row after row through the balancer."""

    def __init__(self, site: Site) -> None:
        self.site, self.name = site, site.name("writer", secrets.token_hex(3))
        self.committed: list[tuple[int, float]] = []
        options = ("-i", f"--network={site.network}", f"--volume={WRITER}:/writers.py:ro")
        program = (image("patroni"), "python", "/writers.py", site.address("lb1"), "15432")
        self.process = subprocess.Popen(
            ["docker", "run", "--rm", f"--name={self.name}", *options, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        site.containers.append(self.name)
        self.process.stdin.write(site.secret("postgres_password") + "\n")
        self.process.stdin.flush()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        for line in self.process.stdout:
            number, at = line.split()
            self.committed.append((int(number), float(at)))

    def __enter__(self):
        self._reader.start()
        self.more(20)
        return self

    def __exit__(self, *_error):
        subprocess.run(["docker", "kill", self.name], capture_output=True, check=False)
        self._reader.join(30)

    def more(self, count: int, seconds: float = 90) -> None:
        """Wait until this many rows more were committed."""
        wanted = len(self.committed) + count
        wait_until(lambda: len(self.committed) >= wanted, seconds, f"{count} rows more")

    def longest_gap(self) -> float:
        times = [at for _number, at in self.committed]
        return max(b - a for a, b in itertools.pairwise(times))


class Postgres:
    """The cluster as its operator sees it."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def of(self, host: str) -> Patroni:
        return Patroni(f"http://{self.site.address(host)}:8008", host)

    def cluster(self, asked: str = ""):
        for host in [asked] if asked else MEMBERS:
            try:
                return self.of(host).cluster()
            except Exception:  # whoever is away tells nothing
                continue
        return None

    def leader(self) -> str:
        found = self.cluster()
        return found.leaders[0].name if found and found.leaders else ""

    def is_whole(self) -> bool:
        """One leads, one follows synchronously, and all of them are well."""
        found = self.cluster()
        return (
            found is not None
            and [m.name for m in found.members] == MEMBERS
            and all(m.is_within(1 << 20) for m in found.members)
            and len(found.leaders) == 1
            and "sync_standby" in {m.role for m in found.members}
        )

    def wait_until_whole(self, seconds: float = 120) -> None:
        wait_until(self.is_whole, seconds, f"a whole cluster, not {self.cluster()}")

    def sql(self, host: str, query: str, database: str = "litellm") -> str:
        psql = ("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "litellm", "-d", database)
        done = self.site.inside(host, "postgres", *psql, "-c", query)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def has_lost(self, writer: Writer) -> set[int]:
        rows = self.sql(self.leader(), "select number from written")
        return {number for number, _at in writer.committed} - set(map(int, rows.split()))


def provision(site: Site, host: str, folder: Path) -> None:
    """What the role does with the primary once it leads."""
    template = Path("roles/postgres/templates/provision.sql.j2").read_text()
    options = ["-v", "ON_ERROR_STOP=1", "-v", "owner=litellm", "-v", "database=litellm"]
    psql = ("psql", "-XAtq", *options, "-U", "litellm", "-d", "postgres")

    def provisioned():
        done = site.inside(host, "postgres", *psql, stdin=template)
        assert done.returncode == 0 or "read-only transaction" in done.stderr, done.stderr
        return done.returncode == 0

    wait_until(provisioned, 60, f"{host} to accept writes")


@pytest.fixture(scope="module")
def site(docker, tmp_path_factory):
    for name in ("patroni", "etcd", "postgres", "haproxy", "redis"):
        image(name)
    made = Site(tmp_path_factory.mktemp("cluster"), docker, image)
    yield made
    made.close()


@pytest.fixture(scope="module")
def postgres(site, tmp_path_factory):
    """A cluster that began with the data of one host, the second one in the inventory."""
    site.declare(postgres=["data2"])
    site.start("data2", "postgres")
    wait_until(lambda: site.check("data2", "postgres", "postgres"), 60, "one PostgreSQL")
    found = Postgres(site)
    found.sql("data2", "create table kept as select 42 as answer")
    site.docker.run("stop", site.name("data2", "postgres"))

    site.declare(postgres=MEMBERS)
    for host in MEMBERS:
        site.start(host, "etcd")
        wait_until(lambda host=host: site.check(host, "etcd", "etcd"), 60, f"etcd on {host}")
    for host in ("data2", "data1", "data3"):
        site.start(host, "postgres")
        wait_until(
            lambda host=host: is_member(found, host),
            120,
            f"{host} to take part; its log: {site.logs(host, 'postgres')}",
        )
        if host == "data2":
            provision(site, host, site.folder)
    site.start("lb1", "load_balancer")
    found.wait_until_whole()
    return found


def is_member(postgres: Postgres, host: str) -> bool:
    found = postgres.cluster(host)
    member = found.member(host) if found else None
    return member is not None and member.is_well


def test_the_host_that_has_data_keeps_it_and_the_others_clone_it(postgres):
    assert postgres.leader() == "data2"
    for host in MEMBERS:
        assert postgres.sql(host, "select answer from kept") == "42"
        assert postgres.sql(host, "select pg_is_in_recovery()") == ("f" if host == "data2" else "t")


def test_replicas_stream_over_tls(postgres):
    query = "select bool_and(ssl) from pg_stat_ssl join pg_stat_replication using (pid)"
    assert postgres.sql(postgres.leader(), query) == "t"


def test_without_a_certificate_etcd_answers_nobody(postgres):
    url = f"https://{postgres.site.address('data1')}:2379"
    ask = ["etcdctl", "--command-timeout=3s", f"--endpoints={url}", "--insecure-skip-tls-verify"]
    nothing = ["env", "-u", "ETCDCTL_CERT", "-u", "ETCDCTL_KEY", "-u", "ETCDCTL_CACERT"]
    nothing += ["-u", "ETCDCTL_ENDPOINTS"]
    refused = postgres.site.inside("data1", "etcd", *nothing, *ask, "get", "/", "--prefix")
    assert refused.returncode != 0
    assert postgres.site.inside("data1", "etcd", "etcdctl", "get", "/", "--prefix").stdout


def test_without_the_password_patroni_takes_no_orders(postgres):
    from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unauthorized

    with pytest.raises(Unauthorized):
        postgres.of(postgres.leader()).switch_over(10)


def test_a_killed_primary_is_replaced_in_time_and_no_commit_is_lost(postgres, capsys):
    old = postgres.leader()
    with Writer(postgres.site) as writer:
        postgres.site.kill(old, "postgres")
        writer.more(30)
    gap = writer.longest_gap()
    with capsys.disabled():
        print(f"\nPostgreSQL: primary killed, {gap:.1f} s without a commit, ", end="")
        print(f"{len(writer.committed)} rows committed, {len(postgres.has_lost(writer))} lost")
    assert postgres.has_lost(writer) == set()
    assert gap < FAILOVER_SECONDS
    new = postgres.leader()
    assert new != old
    postgres.site.restart(old, "postgres")
    postgres.wait_until_whole()
    assert postgres.leader() == new, "the old primary follows"
    assert postgres.has_lost(writer) == set()


def test_a_planned_change_hands_the_lead_over_first(postgres, run_module, capsys):
    old, site = postgres.leader(), postgres.site
    options = {
        "url": f"http://{site.address(old)}:8008",
        "name": old,
        "password": site.secret("patroni_password"),
        "state": "handed_over",
    }
    assert run_module("postgres_member", check=True, **options)["changed"]
    assert postgres.leader() == old
    with Writer(site) as writer:
        handed_over = run_module("postgres_member", **options)
        assert handed_over["changed"] and handed_over["role"] == "replica", handed_over
        site.start(old, "postgres")
        member = run_module("postgres_member", **{**options, "state": "ready"})
        assert not member["failed"] and member["role"] == "replica", member
        writer.more(20)
    with capsys.disabled():
        print(f"\nPostgreSQL: planned, {writer.longest_gap():.1f} s without a commit")
    assert not run_module("postgres_member", **options)["changed"]
    assert postgres.has_lost(writer) == set()
    postgres.wait_until_whole()


def test_a_leader_that_is_to_leave_hands_over_to_one_that_stays(postgres, run_module):
    leader, site = postgres.leader(), postgres.site
    stay = [host for host in MEMBERS if host != leader]
    options = {
        "url": f"http://{site.address(stay[0])}:8008",
        "name": stay[0],
        "password": site.secret("patroni_password"),
        "members": stay,
        "state": "led",
    }
    assert run_module("postgres_member", check=True, **options)["changed"]
    assert postgres.leader() == leader
    assert run_module("postgres_member", **options)["changed"]
    assert postgres.leader() in stay
    assert not run_module("postgres_member", **options)["changed"]
    postgres.wait_until_whole()


def test_shared_settings_are_told_to_a_cluster_that_runs(postgres, run_module):
    leader, site = postgres.leader(), postgres.site
    options = {
        "url": f"http://{site.address(leader)}:8008",
        "name": leader,
        "password": site.secret("patroni_password"),
        "settings": {"ttl": 21, "postgresql": {"parameters": {"max_connections": 100}}},
        "state": "configured",
    }
    assert run_module("postgres_member", check=True, **options)["settings"] == {"ttl": 21}
    assert run_module("postgres_member", **options)["changed"]
    assert not run_module("postgres_member", **options)["changed"]
    assert postgres.of(leader).settings()["ttl"] == 21
    back = run_module("postgres_member", **{**options, "settings": {"ttl": 20}})
    assert back["changed"]


def test_a_member_of_etcd_whose_disk_was_replaced_joins_again(postgres):
    site = postgres.site
    site.stop("data3", "etcd")
    shutil.rmtree(site.folder / "data3/var/etcd/data/data")
    site.start("data3", "etcd")
    wait_until(
        lambda: site.check("data3", "etcd", "etcd"),
        60,
        f"etcd on data3; its log: {site.logs('data3', 'etcd')}",
    )
    members = site.inside("data1", "etcd", "etcdctl", "member", "list").stdout
    assert members.count(", started, ") == 3, members
    postgres.wait_until_whole()


def test_without_etcd_the_primary_goes_on(postgres):
    site = postgres.site
    with Writer(site) as writer:
        for host in MEMBERS:
            site.stop(host, "etcd")
        writer.more(400)  # longer than the lead lasts without being renewed
        for host in MEMBERS:
            site.restart(host, "etcd")
        writer.more(20)
    assert postgres.has_lost(writer) == set()
    postgres.wait_until_whole()
