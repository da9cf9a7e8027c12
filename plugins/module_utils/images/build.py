# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Builds images from their recipes, independent ones side by side."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import time

from ansible_collections.intranet.mcp.plugins.module_utils.engine import authorities
from ansible_collections.intranet.mcp.plugins.module_utils.images import manifest as _images
from ansible_collections.intranet.mcp.plugins.module_utils.images.archive import CommandError

# A mirror that hiccups once must not cost a deployment; layers that were made are not made again.
ATTEMPTS = 2
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
APT_SOURCES = (
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d/*.list",
    "/etc/apt/sources.list.d/*.sources",
)


class Builder:
    """Builds what it is told to, in the order that needs allow.

    options: contexts and logs (directories), jobs, mirrors, ca_bundle, recipes.
    """

    def __init__(self, engine, manifest: dict, options: dict, report) -> None:
        self.engine = engine
        self.manifest = manifest
        self.options = options
        self.report = report
        self.built: dict[str, float] = {}
        self.failed: dict[str, CommandError] = {}

    def log_of(self, name: str) -> str:
        return os.path.join(self.options["logs"], f"build-{name}.log")

    def build_all(self, names: list[str]) -> None:
        """Build `names`, each after what it needs; `built` and `failed` tell how it went."""
        waiting = _images.by_urgency(self.manifest, names)
        running: dict[concurrent.futures.Future, str] = {}
        with concurrent.futures.ThreadPoolExecutor(self.options["jobs"]) as pool:
            while waiting or running:
                startable = _images.ready(
                    self.manifest, waiting, set(running.values()), set(self.failed)
                )
                for name in startable[: self.options["jobs"] - len(running)]:
                    waiting.remove(name)
                    running[pool.submit(self._build, name)] = name
                if not running:
                    break
                self._collect(running)
        for name in waiting:
            needs = [need for need in _images.needs_of(self.manifest, name) if need in self.failed]
            cause = f"needs {', '.join(needs) or 'an image'}, which failed"
            self.failed[name] = CommandError(cause, [])

    def _collect(self, running: dict) -> None:
        done, _rest = concurrent.futures.wait(
            running, return_when=concurrent.futures.FIRST_COMPLETED
        )
        for future in done:
            name = running.pop(future)
            try:
                self.built[name] = future.result()
            except (CommandError, OSError) as error:
                failure = error if isinstance(error, CommandError) else CommandError(str(error), [])
                self.failed[name] = failure
                self.report(f"build {name}: failed, {failure}")
            else:
                self.report(f"build {name}: done in {self.built[name]:.0f} s")

    def _build(self, name: str) -> float:
        started = time.monotonic()
        kind = self.manifest[name]["recipe"].get("kind", "dockerfile")
        method = {"dockerfile": self._dockerfile, "mmdebstrap": self._mmdebstrap}[kind]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                method(name, attempt > 1)
                break
            except CommandError as error:
                if attempt == ATTEMPTS:
                    raise
                self.report(f"build {name}: {error}, once more")
        return time.monotonic() - started

    def _labels(self, name: str) -> dict[str, str]:
        return {
            _images.LABEL_RECIPE: self.options["recipes"][name],
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": self.manifest[name]["version"],
        }

    def _dockerfile(self, name: str, again: bool) -> None:
        recipe = self.manifest[name]["recipe"]
        references = _images.references(self.manifest)
        images = {
            need.upper().replace("-", "_"): references[need]
            for need in _images.needs_of(self.manifest, name)
        }
        arguments = {**self._environment(), **images, **recipe.get("args", {})}
        self.engine.build(
            f"build {name}",
            os.path.join(self.options["contexts"], name),
            references[name],
            self._labels(name),
            arguments,
            self.log_of(name),
            again,
        )

    def _environment(self) -> dict[str, str]:
        proxies = {key: os.environ[key] for key in PROXIES if os.environ.get(key)}
        mirrors = {key: value for key, value in self.options["mirrors"].items() if value}
        return {**proxies, **mirrors}

    def _mmdebstrap(self, name: str, again: bool) -> None:
        """A root file system from packages. The archive is complete before Docker sees it."""
        context = os.path.join(self.options["contexts"], name)
        tar = os.path.join(self.options["contexts"], f"{name}.tar")
        recipe = self.manifest[name]["recipe"]
        try:
            self.engine.runner.run(
                f"build {name}", self._mmdebstrap_command(recipe, context, tar), self.log_of(name)
            )
            changes = [f"ENV {key}={value}" for key, value in recipe.get("env", {}).items()]
            changes += [f'LABEL {key}="{value}"' for key, value in self._labels(name).items()]
            self.engine.import_tar(
                f"build {name}",
                tar,
                _images.reference(name, self.manifest[name]["version"]),
                [*changes, 'CMD ["/bin/sh"]'],
                self.log_of(name),
            )
        finally:
            if os.path.exists(tar):
                os.remove(tar)

    def _mmdebstrap_command(self, recipe: dict, context: str, tar: str) -> list[str]:
        certificates = os.path.join(context, "certificates")
        self._write_certificates(certificates)
        hooks = [
            f"sync-in {context}/rootfs /",
            f"sync-in {certificates} /usr/local/share/ca-certificates",
            'chroot "$1" update-ca-certificates',
        ]
        main, security = self._debian_mirrors()
        suite = recipe["suite"]
        return [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(recipe['packages'])}",
            f"--dpkgopt={context}/dpkg.cfg",
            f"--aptopt={context}/apt.conf",
            *(f"--customize-hook={hook}" for hook in hooks),
            suite,
            tar,
            f"deb {main} {suite} main",
            f"deb {main} {suite}-updates main",
            f"deb {security} {suite}-security main",
        ]

    def _debian_mirrors(self) -> tuple[str, str]:
        """Return the mirrors that were set, else those this host itself installs from."""
        own = own_debian_mirrors()
        mirrors = self.options["mirrors"]
        main = mirrors.get("APT_MIRROR") or own[0]
        security = mirrors.get("APT_SECURITY_MIRROR") or own[1]
        if not main or not security:
            raise CommandError(
                "this host's apt sources name no mirror of Debian and of its security updates; "
                "set image_apt_mirror and image_apt_security_mirror",
                [],
            )
        return main, security

    def _write_certificates(self, directory: str) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        try:
            # What this process is told to trust, its mirrors may need.
            pems = authorities.site_certificates(self.options["ca_bundle"], dict(os.environ))
        except authorities.AuthorityError as error:
            raise CommandError(str(error), []) from error
        for number, pem in enumerate(pems):
            with open(os.path.join(directory, f"site-{number}.crt"), "w") as stream:
                stream.write(pem)


def own_debian_mirrors() -> tuple[str, str]:
    """Return the mirrors of Debian and of its security updates that this host installs from."""
    return _images.debian_mirrors(authorities.texts(list(APT_SOURCES)))
