# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where the control node keeps secrets, reports, bundles, downloads: where Ansible never looks.

An inventory directory is read as a whole: files below it become lists of hosts, and a secret the
name of one. Only a name with a leading dot is left out whatever the configuration says. Earlier
versions kept their folders openly; what they left is moved by the first run that needs any of it.
Each step of a move is one rename, so that a run that was killed is continued by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import os

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError

NAME = ".intranet-mcp"
# Each folder, and what shows that a folder of that name beside an inventory is the platform's.
MARKS = {
    "secrets": ("litellm_master_key", "litellm_salt_key"),
    "reports": ("verify.json", "doctor.json"),
    "clients": (".tar.gz",),
    "cache": (".whl",),
    "nginx": ("intranet-mcp.conf",),
    "kubernetes": (),  # never kept openly
}
# Before its first run a platform has only secrets that somebody put there, one a file. A folder
# with such files is something else.
FOREIGN = (".yml", ".yaml", ".json", ".ini", ".cfg", ".toml", ".py", ".sh", ".md")


class StateError(ServiceError):
    """No place, or more than one."""

    reason = "state"


def home(folders: list[str]) -> str:
    """Return the place for an inventory: beside its hosts, and where secrets are already.

    folders: where the inventory names hosts of the platform, in its order.
    """
    places = list({os.path.realpath(folder): folder for folder in folders if folder}.values())
    if not places:
        raise StateError(
            "found no inventory file that names the platform's hosts",
            "one, beside which secrets and reports are kept",
            "run with -i inventories/NAME, or set platform_state_dir",
        )
    used = [place for place in places if _has_secrets(place)]
    if len(used) > 1:
        raise StateError(
            f"found secrets of a platform in {' and in '.join(used)}",
            "one place for one platform",
            "give the inventories of one platform only, or set platform_state_dir to "
            f"the {NAME} whose secrets the hosts have",
        )
    return os.path.join((used or places)[0], NAME)


def path(state: str, folder: str, kind: str) -> str:
    """Return where a kind lies as long as nothing may be moved: openly, if it still does."""
    old, new = os.path.join(folder, kind), os.path.join(state, kind)
    return old if _is_ours(kind, old) and not os.path.lexists(new) else new


def move(state: str, folder: str, kinds: list[str]) -> list[str]:
    """Move what an earlier version left in the inventory's folder; return a line for each kind."""
    if not any(_is_ours(kind, os.path.join(folder, kind)) for kind in kinds):
        return []
    with _locked(folder):
        pairs = [(kind, os.path.join(folder, kind), os.path.join(state, kind)) for kind in kinds]
        left = [pair for pair in pairs if _is_ours(*pair[:2])]
        return [_moved(*pair) for pair in left if not _is_same(*pair[1:])]


def keep_out_of_git(state: str) -> None:
    """Have git leave the place alone, whatever the repository around it ignores."""
    path = os.path.join(state, ".gitignore")
    # It is there already, or nothing is kept yet.
    with contextlib.suppress(OSError), open(path, "x", encoding="utf-8") as file:
        file.write("*\n")


@contextlib.contextmanager
def _locked(folder: str):
    """Keep other processes of the run, which handle other hosts, from moving the same."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _moved(kind: str, old: str, new: str) -> str:
    try:
        os.makedirs(os.path.dirname(new), exist_ok=True)
        _move(kind, old, new)
    except OSError as error:
        raise StateError(
            f"cannot move {old} to {new} ({error.strerror or error})",
            "to, since Ansible takes files of an inventory for lists of hosts",
            f"move it by hand, or set {variable(kind)} to where it is",
        ) from error
    return f"{kind} moved from {old} to {new}, where Ansible reads no hosts from"


def variable(kind: str) -> str:
    """Return the name of the variable that puts a kind elsewhere."""
    return "load_balancer_nginx_dir" if kind == "nginx" else f"platform_{kind}_dir"


def _has_secrets(folder: str) -> bool:
    # In this order: a move that happens meanwhile is seen before or after it.
    if _is_ours("secrets", os.path.join(folder, "secrets")):
        return True
    return bool(_names(os.path.join(folder, NAME, "secrets")))


def _is_ours(kind: str, old: str) -> bool:
    """Tell whether a folder beside the inventory is what earlier versions kept there."""
    names = _names(old)
    if any(name.endswith(MARKS[kind]) for name in names):
        return True
    return kind == "secrets" and bool(names) and not any(n.endswith(FOREIGN) for n in names)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_same(old: str, new: str) -> bool:
    return os.path.realpath(old) == os.path.realpath(new) and not os.path.islink(old)


def _move(kind: str, old: str, new: str) -> None:
    if os.path.islink(old):
        _move_link(old, new)
    elif not os.path.lexists(new):
        _refuse_links(old)
        os.rename(old, new)
    else:
        pairs = list(_pairs(old, new))
        if kind == "secrets":
            _refuse_differences(pairs)
        _merge(old, pairs)


def _move_link(old: str, new: str) -> None:
    target = os.path.realpath(old)
    if not os.path.lexists(new):
        os.symlink(target, new)
    elif os.path.realpath(new) != target:
        raise OSError(None, f"{new} is there already, and is not {target}")
    os.unlink(old)


def _refuse_links(old: str) -> None:
    """A link that is relative leads nowhere from its new place."""
    for root, folders, files in os.walk(old):
        for name in (*folders, *files):
            link = os.path.join(root, name)
            if os.path.islink(link) and not os.path.isabs(os.readlink(link)):
                raise OSError(None, f"{link} is a relative link")


def _pairs(old: str, new: str):
    """Yield each file below the old place, with its new one."""
    for root, _folders, files in os.walk(old):
        for name in files:
            source = os.path.join(root, name)
            yield source, os.path.join(new, os.path.relpath(source, old))


def _refuse_differences(pairs: list[tuple[str, str]]) -> None:
    for source, target in pairs:
        if os.path.exists(target) and not filecmp.cmp(source, target, shallow=False):
            raise StateError(
                f"found two values of a secret, in {source} and in {target}",
                "one",
                "keep the one that the hosts have (the older file, as a rule) and remove the other",
            )


def _merge(old: str, pairs: list[tuple[str, str]]) -> None:
    """Move what the new place lacks; the rest is the same there, or newer."""
    for source, target in pairs:
        if os.path.lexists(target):
            os.unlink(source)
        else:
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            os.rename(source, target)
    for root, _folders, _files in os.walk(old, topdown=False):
        os.rmdir(root)
