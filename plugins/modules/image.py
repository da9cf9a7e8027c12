#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: Container images from a bundle, a registry or a build
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Makes sure that images are on a host, from the first source that works. All of them in one call.
  - An image has the name C(intranet-mcp/NAME:VERSION) wherever it came from.
  - Where it came from is recorded. An image is replaced where that is none of the sources any more,
    where a registry was added before the source it came from, or where its C(digest) changed. A
    registry's tag that was moved is noticed only where the image is of an older recipe than this
    collection's; O(force) gets any other again.
  - An image or archive for another architecture is refused.
  - A build leaves the hash of its recipe in a label. What is there is not built again unless the
    recipe (files, arguments, version, or an image it is made from) changed.
  - Builds that do not need each other run side by side. While it works, what it does is shown live.
  - An interrupted build leaves nothing under the image's name; the next run continues.
extends_documentation_fragment:
  - intranet.mcp.attributes
  - intranet.mcp.registry
attributes:
  check_mode:
    support: full
    details:
      - Registries are asked only whether they have a successor of an image of an older recipe, so
        that an image would be pulled is an assumption.
  diff_mode:
    support: none
  idempotent:
    support: full
notes:
  - Needs the C(docker) command line on the host; buildx is not needed. Building the base image
    needs C(mmdebstrap) too.
options:
  names:
    description: The images wanted. What they are built from is built only when it is needed.
    type: list
    elements: str
    required: true
  manifest:
    description:
      - Every image by its name, with C(version), C(upstream), C(digest) and C(recipe).
      - See C(image_manifest) of the role P(intranet.mcp.image#role).
    type: dict
    required: true
  state:
    description:
      - V(present) makes sure that the images are on the host.
      - V(exported) writes them, as they are on the host, to O(bundle_path).
      - V(pushed) brings them, as they are on the host, to O(registry_prefix), or to an entry's
        C(mirror), and returns their digests. What the registry has is not sent again.
      - V(absent) removes them.
    type: str
    choices: [present, exported, pushed, absent]
    default: present
  sources:
    description: Where images come from. Tried in this order, the first that works wins.
    type: list
    elements: str
    choices: [bundle, registry, build]
    default: [bundle, registry, build]
  bundle_path:
    description:
      - Directory with archives of images and their C(index.json).
      - Searched on the host, then on the control node, from where only what is missing is sent.
    type: path
  registry_prefix:
    description: The site's registry; an image is C(PREFIX/NAME:VERSION) there.
    type: str
    default: ""
  registry_mirrors:
    description:
      - Where the site mirrors the registries of publishers, by their hosts. With
        C(docker.io=harbor.example/dockerhub), C(docker.io/library/redis:8.0) is pulled as
        C(harbor.example/dockerhub/library/redis:8.0).
      - An entry's own C(mirror) in O(manifest) names the exact place of one image instead.
    type: dict
    default: {}
  registry_upstream:
    description: Whether to pull from the registry that publishes an image.
    type: bool
    default: true
  mirrors:
    description:
      - Build arguments that name package mirrors (C(APT_MIRROR), C(APT_SECURITY_MIRROR),
        C(PIP_INDEX_URL), C(NPM_CONFIG_REGISTRY), C(GOPROXY)). They are no part of the recipe.
    type: dict
    default: {}
  ca_bundle:
    description:
      - File on the host with the site's own certificate authorities, for builds and containers.
      - Default is what the host trusts beyond the public ones.
    type: path
  jobs:
    description: Builds at a time.
    type: int
    default: 2
  force:
    description: Images to get again though they are there.
    type: list
    elements: str
    default: []
  build_timeout:
    description: Seconds that one step of getting an image (build, pull, load) may take.
    type: int
    default: 3600
  lock_timeout:
    description: Seconds to wait for another run that works on the images of this host.
    type: int
    default: 1800
  work_path:
    description: Directory for build contexts and logs.
    type: path
    default: /var/cache/intranet-mcp/image
  record_path:
    description: File on the host that says of each image which source it came from.
    type: path
    default: /var/lib/intranet-mcp/images.json
  recipes:
    description: Recipe hashes by name. Computed on the control node.
    type: dict
    default: {}
  contexts:
    description: Archive with the build contexts. Made by the control node.
    type: path
  plan_only:
    description: Say what would be done, as in check mode. For the control node.
    type: bool
    default: false
  progress_file:
    description: File that gets a line a step. Given by the control node, which shows them.
    type: path
"""

EXAMPLES = r"""
- name: In the site's registry
  intranet.mcp.image:
    names: [gateway]
    manifest: "{{ image_manifest }}"
    state: pushed
    registry_prefix: registry.example.com/platform

- name: What this host needs
  intranet.mcp.image:
    names: [postgres, litellm]
    manifest: "{{ image_manifest }}"

- name: From the site's registry only
  intranet.mcp.image:
    names: [redis]
    manifest: "{{ image_manifest }}"
    sources: [registry]
    registry_prefix: registry.example.com/platform

- name: Archives for hosts without a network
  intranet.mcp.image:
    names: [postgres, redis]
    manifest: "{{ image_manifest }}"
    state: exported
    bundle_path: /srv/bundle
"""

RETURN = r"""
images:
  description:
    - What was done for each image that was wanted, and for each that was built for it. With
      O(state=pushed) C(digest) is the one by which others pull it.
  returned: success
  type: dict
  sample:
    redis:
      action: built
      id: sha256:25fe1357d55a71fde997a283e7df00d26e1ec54dfc41159e329aaf8356d337ab
      reference: intranet-mcp/redis:8.0
      seconds: 4.1
      source: build
      tried: {bundle: "no bundle at /srv/bundle"}
tools_missing:
  description: Programs that the builds would need and that the host lacks.
  returned: success
  type: list
  elements: str
  sample: [mmdebstrap]
bundle_missing:
  description: Archives that the bundle on this host would have to hold.
  returned: success
  type: bool
  sample: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images import (
    bundle,
    manifest,
    push,
    registry,
    sources,
)
from ansible_collections.intranet.mcp.plugins.module_utils.images.archive import CommandError
from ansible_collections.intranet.mcp.plugins.module_utils.images.host import Images
from ansible_collections.intranet.mcp.plugins.module_utils.images.lock import host_lock
from ansible_collections.intranet.mcp.plugins.module_utils.images.record import Record


def present(module: AnsibleModule, images: Images) -> dict:
    """Have the images, or in check mode say what would be done."""
    found = images.read()
    plan = images.plan(found)
    is_changed = bool(images.done)
    if is_changed and not module.check_mode and not module.params["plan_only"]:
        with host_lock(module.params["work_path"], module.params["lock_timeout"], images.report):
            images.done.clear()
            images.record = Record(module.params["record_path"])
            found = images.read()  # another run may have had them made while this one waited
            images.obtain(found)
        is_changed = bool(images.done)
    for name in module.params["names"]:
        if name not in images.done:
            images.done[name] = {
                "action": "present",
                "source": "host",
                "reference": images.references[name],
                "id": found[name]["id"],
                "seconds": 0.0,
                "tried": images.tried.get(name, {}),
            }
    return {"changed": is_changed, "images": images.done, **plan}


def absent(images: Images, check_mode: bool) -> dict:
    """Remove the images; what a container uses stays and is named."""
    found = images.engine.inspect([images.references[name] for name in images.params["names"]])
    removed = {}
    for name in images.params["names"]:
        facts = found.get(images.references[name])
        if not facts:
            continue
        if not check_mode:
            images.engine.remove(images.references[name])
            images.record.write(images.references[name], None)
        removed[name] = {
            "action": "removed",
            "source": "host",
            "reference": images.references[name],
            "id": facts["id"],
            "seconds": 0.0,
            "tried": {},
        }
    return {"changed": bool(removed), "images": removed}


ARGUMENTS = {
    "names": {"type": "list", "elements": "str", "required": True},
    "manifest": {"type": "dict", "required": True},
    "state": {
        "type": "str",
        "choices": ["present", "exported", "pushed", "absent"],
        "default": "present",
    },
    "sources": {
        "type": "list",
        "elements": "str",
        "choices": list(manifest.SOURCES),
        "default": list(manifest.SOURCES),
    },
    "bundle_path": {"type": "path"},
    "registry_prefix": {"type": "str", "default": ""},
    "registry_mirrors": {"type": "dict", "default": {}},
    "registry_upstream": {"type": "bool", "default": True},
    "registry_logins": registry.LOGINS,
    "mirrors": {"type": "dict", "default": {}},
    "ca_bundle": {"type": "path"},
    "jobs": {"type": "int", "default": 2},
    "force": {"type": "list", "elements": "str", "default": []},
    "build_timeout": {"type": "int", "default": 3600},
    "lock_timeout": {"type": "int", "default": 1800},
    "work_path": {"type": "path", "default": "/var/cache/intranet-mcp/image"},
    "record_path": {"type": "path", "default": "/var/lib/intranet-mcp/images.json"},
    "recipes": {"type": "dict", "default": {}},
    "contexts": {"type": "path"},
    "plan_only": {"type": "bool", "default": False},
    "progress_file": {"type": "path"},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "exported", ["bundle_path"])],
        supports_check_mode=True,
    )
    try:
        manifest.check(module.params["manifest"], module.params["names"])
        sources.check(module.params["registry_prefix"], module.params["registry_mirrors"])
        images = Images(module.params)
        if module.params["state"] == "present":
            result = present(module, images)
        elif module.params["state"] == "exported":
            result = bundle.export(images, module.check_mode)
        elif module.params["state"] == "pushed":
            result = push.push(images, module.check_mode)
        else:
            result = absent(images, module.check_mode)
    except (Unusable, CommandError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename or 'a file'}: {error.strerror or error}; expected room and the "
            f"right to write to {module.params['work_path']}: free space or run as root"
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
