# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Images out of a company's registry, through the roles: mirrors, logins, own authority, digests.

The registry is Debian's. What it mirrors stands in for publishers' images and is as hostile: no
label of ours, another entrypoint, another locale, no Python.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import secrets
import subprocess
import sys
import tarfile

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.images import registry_login
from conftest import image, wait_until
from servers.container_registry import TRUST, push

pytestmark = pytest.mark.integration

ROLES = support.REPOSITORY / "roles"
PUBLISHERS_POSTGRES = """\
FROM {base}
USER 0
RUN apt-add locales && localedef -i en_US -c -f UTF-8 en_US.UTF-8 \
    && mv /usr/local/bin/docker-entrypoint.sh /usr/local/bin/publisher-entrypoint \
    && rm -f /usr/bin/python3*
"""


def docker_output(*arguments):
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


class Site:
    """A host that has images through the roles, as `site.yml` does; it is this machine."""

    def __init__(self, folder, company) -> None:
        self.folder, self.company = folder, company
        self.name = f"itest-{secrets.token_hex(4)}"
        self.reference = f"intranet-mcp/{self.name}:17"
        self.entry = {
            "version": "17",
            "upstream": f"docker.io/library/{self.name}:17",
            "digest": None,
            "why": "a test",
            "tested": "here",
            "recipe": None,
        }
        self.variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "platform_data_dir": str(folder / "data"),
            "image_sources": ["registry"],
            "image_registry_mirrors": {"docker.io": f"{company.host}/dockerhub"},
            "docker_registry_ca": {company.host: str(company.authority)},
            "docker_registry_logins": [{"registry": company.host, **company.login}],
        }

    def play(self, tasks, *options, groups=("platform",), **variables):
        """Run tasks on this machine; returns status and everything that was said."""
        (self.folder / "play.yml").write_text(
            yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}])
        )
        extra = {**self.variables, "image_extra": {self.name: self.entry}, **variables}
        hosts = {group: {"hosts": {"here": {}}} for group in groups}
        inventory = {"all": {"hosts": {"here": {}}, "vars": extra, "children": hosts}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        done = subprocess.run(
            [
                os.path.join(os.path.dirname(sys.executable), "ansible-playbook"),
                "-i",
                self.folder / "hosts.yml",
                *options,
                self.folder / "play.yml",
            ],
            cwd=support.REPOSITORY,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def have(self, *options, **variables):
        """Have the image by the role, its registry's authority first."""
        tasks = [*TRUST] if self.trusts(variables) else []
        tasks.append({"include_role": {"name": "intranet.mcp.image"}})
        return self.play(tasks, *options, image_names=[self.name], **variables)

    def trusts(self, variables):
        return variables.get("docker_registry_ca", self.variables["docker_registry_ca"])

    def changed(self, *options, **variables):
        """Have the image, and tell whether that changed anything."""
        code, output = self.have(*options, **variables)
        assert code == 0, output
        return "changed=0" not in output

    def id(self):
        return docker_output("image", "inspect", "--format", "{{.Id}}", self.reference)[1].strip()

    def origin(self):
        images = json.loads((self.folder / "data" / "images.json").read_text())["images"]
        return images[self.reference]


@pytest.fixture
def site(tmp_path, company):
    """A site without any image, whose registry has none either."""
    made = Site(tmp_path, company)
    yield made
    docker_output("image", "rm", "-f", made.reference)


@pytest.fixture
def publish(company):
    """Push one-file images, or any image, below the company's registry; returns the digest."""
    logins = [{"registry": company.host, **company.login}]
    made = []

    def act(path, content="", source=None):
        if not source:
            source = f"itest-source:{secrets.token_hex(4)}"
            made.append(source)
            archive = tar_of({"content": content.encode()})
            subprocess.run(["docker", "import", "-", source], input=archive, check=True,
                           capture_output=True)  # fmt: skip
        with registry_login.environment(logins) as variables:
            return push(source, f"{company.host}/{path}", variables)

    yield act
    for source in made:
        docker_output("image", "rm", "-f", source)


def tar_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def trusted(site):
    """The site's engine trusts the registry, so that images can be pushed there."""
    code, output = site.play(TRUST)
    assert code == 0, output


@pytest.mark.usefixtures("trusted")
def test_a_mirror_behind_a_login_and_an_own_authority_is_pulled_as_it_is(site, publish, company):
    digest = publish(f"dockerhub/library/{site.name}:17", "one")
    code, output = site.have("-vvv")
    assert code == 0, output
    assert company.login["password"] not in output
    assert site.origin()["way"] == f"{company.host}/dockerhub/library/{site.name}:17"
    assert site.origin()["digest"] == digest
    assert company.host not in docker_output("images")[1], "the registry's name was left behind"
    assert not glob.glob("/run/intranet-mcp-login.*"), "a login was left behind"
    assert not site.changed()


@pytest.mark.usefixtures("trusted")
def test_without_a_login_or_with_a_wrong_one_the_pull_says_so(site, publish, company):
    publish(f"dockerhub/library/{site.name}:17", "one")
    for logins in ([], [{"registry": company.host, "username": "robot", "password": "wrong"}]):
        code, output = site.have(docker_registry_logins=logins)
        assert code != 0
        assert f"{company.host}/dockerhub/library/{site.name}:17: " in output
        assert "unauthorized" in output or "no basic auth credentials" in output


@pytest.mark.usefixtures("trusted")
def test_another_source_and_another_digest_replace_the_image_once(site, publish, company):
    one = publish(f"dockerhub/library/{site.name}:17", "one")
    assert site.changed()
    first = site.id()
    two = publish(f"platform/{site.name}:17", "two")
    own = {"image_registry_prefix": f"{company.host}/platform", "image_registry_mirrors": {}}
    assert site.changed(**own)
    assert site.id() != first
    assert not site.changed(**own)
    site.entry["digest"] = one
    assert site.changed()
    assert site.id() == first
    assert not site.changed()
    publish(f"dockerhub/library/{site.name}:17", "three")
    assert not site.changed(), "the tag moved, the digest did not"
    site.entry["digest"] = two
    code, output = site.have()
    assert code != 0
    assert f"expected {two}" in output and "is sha256:" in output
    assert "copy the image with its digest" in output
    assert site.id() == first


@pytest.mark.usefixtures("trusted")
def test_one_image_may_have_a_place_of_its_own(site, publish, company):
    publish("ai/postgres:17-fips", "one")
    site.entry["mirror"] = f"{company.host}/ai/postgres:17-fips"
    assert site.changed()
    assert site.origin()["way"] == site.entry["mirror"]
    assert not site.changed()


@pytest.mark.usefixtures("trusted")
def test_an_image_of_another_architecture_is_refused_in_one_sentence(site, publish, tmp_path):
    source = f"itest-source:{secrets.token_hex(4)}"
    archive = tmp_path / "foreign.tar"
    archive.write_bytes(foreign_archive(source))
    assert docker_output("load", "--input", str(archive))[0] == 0
    try:
        publish(f"dockerhub/library/{site.name}:17", source=source)
    finally:
        docker_output("image", "rm", "-f", source)
    code, output = site.have()
    assert code != 0
    assert "its image is for s390x, this host is" in output
    assert docker_output("image", "inspect", site.reference)[0] != 0


def test_an_archive_of_another_architecture_is_not_loaded(site, tmp_path):
    bundle = tmp_path / "bundle"
    (bundle / "images").mkdir(parents=True)
    content = foreign_archive(site.reference)
    (bundle / "images" / "aa.tar").write_bytes(content)
    entry = {"id": "sha256:aa", "archive": "images/aa.tar", "recipe": None, "bytes": len(content)}
    (bundle / "index.json").write_text(json.dumps({"images": {site.reference: entry}}))
    code, output = site.have(image_sources=["bundle"], image_bundle_path=str(bundle))
    assert code != 0
    assert "its image is for s390x, this host is" in output
    assert docker_output("image", "inspect", site.reference)[0] != 0


def foreign_archive(reference):
    """An archive of an image for an architecture that this machine does not have."""
    layer = tar_of({"content": b"foreign"})
    config = {
        "architecture": "s390x",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    described = json.dumps(config).encode()
    name = f"{hashlib.sha256(described).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    return tar_of(
        {name: described, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    )


PREFLIGHT = [{"include_role": {"name": "intranet.mcp.preflight"}}]


def preflight(site, **variables):
    """Check a GPU host without its image, and change nothing."""
    given = {
        "nvidia_gpu": True,
        "preflight_ignore": ["memory", "disk", "ports", "gpu", "secrets"],
        "preflight_required_groups": [],
        "platform_secrets_dir": str(site.folder / "secrets"),
        "ollama_models": [],
    }
    return site.play(PREFLIGHT, "--check", groups=("ollama",), **{**given, **variables})


@pytest.mark.usefixtures("trusted")
def test_preflight_names_what_a_registry_lacks_before_anything_changes(site, publish, company):
    if docker_output("image", "inspect", "intranet-mcp/ollama-cuda:0.34.2")[0] == 0:
        pytest.skip("this machine has Ollama's image with CUDA")
    place = f"{company.host}/dockerhub/ollama/ollama"
    code, output = preflight(site)
    assert code != 0
    assert "images are missing (intranet-mcp/ollama-cuda:0.34.2)" in output
    assert f"{place}:0.34.2 is not there" in output
    digest = publish("dockerhub/ollama/ollama:0.34.2", "cuda")
    assert preflight(site)[0] == 0
    wrong = {"image_extra": {"ollama-cuda": {"digest": "sha256:" + "0" * 64}}}
    assert f"0.34.2 is {digest}, expected" in preflight(site, **wrong)[1]
    code, output = preflight(site, docker_registry_logins=[])
    assert f"{company.host} asks for a login" in output


class Postgres:
    """A database that the role's own definition describes, and whose data outlive containers."""

    definition = yaml.safe_load((ROLES / "postgres/defaults/main.yml").read_text())[
        "postgres_service"
    ]

    def __init__(self, docker, folder) -> None:
        self.docker = docker
        self.volume = docker.run("volume", "create")
        self.password = folder / "password"
        self.password.write_text("itest")
        self.password.chmod(0o644)
        folder.chmod(0o755)

    def start(self, name, reference):
        env = {key: value for key, value in self.definition["env"].items() if "{{" not in value}
        return self.docker.start(
            name,
            reference,
            f"--user={self.definition['user']}",
            "--read-only",
            *(f"--tmpfs={path}" for path in self.definition["tmpfs"]),
            f"--volume={self.volume}:/var/lib/postgresql/data",
            f"--volume={self.password}:/secrets/password:ro",
            env={**env, "POSTGRES_USER": "app", "POSTGRES_DB": "app"},
            command=self.definition["command"][:1],
        )

    def ask(self, container, sql):
        url = "postgresql://app:itest@127.0.0.1/app"
        code, output = docker_output("exec", container, "psql", url, "-tAc", sql)
        return output.strip() if code == 0 else None


@pytest.fixture
def hostile_postgres(tmp_path):
    """Our PostgreSQL as its publisher ships it: other locale, entrypoint, no label, no Python."""
    source, flat = (f"itest-source:{secrets.token_hex(4)}" for _ in range(2))
    dockerfile = PUBLISHERS_POSTGRES.format(base=image("postgres"))
    built = subprocess.run(
        ["docker", "build", "-q", "-t", source, "-"],
        input=dockerfile,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        pytest.skip(f"needs the package locales from a mirror: {built.stderr[-200:]}")
    changes = (
        "ENV LANG=en_US.utf8",
        "ENV PGDATA=/var/lib/postgresql/data",
        "ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/bin:/bin",
        'ENTRYPOINT ["publisher-entrypoint"]',
        'CMD ["postgres"]',
    )
    container = docker_output("create", source)[1].strip()
    # An import keeps the files alone: no label, user or variable of ours.
    options = [word for change in changes for word in ("--change", change)]
    pipe = 'docker export "$1" | docker import "${@:3}" - "$2"'
    subprocess.run(
        ["bash", "-c", pipe, "_", container, flat, *options], check=True, capture_output=True
    )
    docker_output("rm", container)
    yield flat
    docker_output("image", "rm", "-f", source, flat)


@pytest.mark.usefixtures("trusted")
def test_a_publishers_postgres_out_of_the_mirror_serves_and_ours_goes_on_with_its_data(
    site, publish, docker, hostile_postgres, tmp_path
):
    publish(f"dockerhub/library/{site.name}:17", source=hostile_postgres)
    assert site.changed()
    assert "intranet.mcp" not in docker_output("image", "inspect", site.reference)[1].replace(
        site.reference, ""
    )
    database = Postgres(docker, tmp_path)
    try:
        theirs = database.start("theirs", site.reference)
        wait_until(lambda: database.ask(theirs, "select 1") == "1", 60, "the publisher's image")
        assert database.ask(theirs, "create table kept as select 42 as n") is not None
        docker.run("stop", theirs)
        ours = database.start("ours", image("postgres"))
        wait_until(lambda: database.ask(ours, "select n from kept") == "42", 60, "our image")
    finally:
        docker_output("rm", "-f", *(f"itest-{n}-{docker.suffix}" for n in ("theirs", "ours")))
        docker_output("volume", "rm", database.volume)
