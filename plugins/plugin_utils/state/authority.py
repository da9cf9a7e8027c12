# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the platform's own authority may vouch for (name constraints, RFC 5280, 4.2.1.10).

People's machines trust it, so a stolen key must not make certificates for the rest of the world.
"""

from __future__ import annotations

import ipaddress

from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.inventory import is_address

# community.crypto makes certificates with it.
try:
    from cryptography import x509
except ImportError:
    x509 = None

# A name that nobody has (RFC 6761): a kind of name that is not mentioned would be free to all.
NO_NAME = "DNS:invalid"
NO_ADDRESS = ("IP:0.0.0.0/0", "IP:::/0")
# A host that is added later has an address beside those of today.
NETWORK_BITS = {4: 24, 6: 64}


def name_constraints(names, further=(), by_address=False):
    """What an authority for these names is permitted, and what it is not, as openssl_csr takes it.

    Names with all below them, and the networks of addresses. further: names and networks besides.
    by_address: people come by address, so that certificates are for addresses: the authority may
    vouch for any then. Claude Code and opencode (BoringSSL) refuse what is for an address under an
    authority with a limit for addresses.
    """
    found = [_permitted(name) for name in names]
    found += [_further(value) for value in further]
    permitted = list(dict.fromkeys(found))
    if by_address:
        permitted = [value for value in permitted if value.startswith("DNS:")]
        return {"permitted": permitted or [NO_NAME], "excluded": []}
    if not any(value.startswith("DNS:") for value in permitted):
        permitted.append(NO_NAME)
    has_addresses = any(value.startswith("IP:") for value in permitted)
    return {"permitted": permitted, "excluded": [] if has_addresses else list(NO_ADDRESS)}


def _permitted(name):
    if not is_address(name):
        return f"DNS:{name}"
    address = ipaddress.ip_address(name)
    return f"IP:{ipaddress.ip_network((address, NETWORK_BITS[address.version]), strict=False)}"


def _further(value):
    try:
        return f"IP:{ipaddress.ip_network(value)}"
    except ValueError as error:
        if "/" in value or is_address(value):
            raise AnsibleFilterError(
                f"found {value!r} for the platform's authority ({error}); expected a name such as "
                "example.internal or a network such as 10.1.0.0/16: correct load_balancer_ca_names"
            ) from error
    return f"DNS:{value.removeprefix('.')}"


def names_beyond_authority(names, pem):
    """Which of the names a certificate of this authority would be refused for."""
    if x509 is None:
        raise AnsibleFilterError(
            "found no Python package cryptography on the control node, expected it to read the "
            "platform's authority: install requirements.txt"
        )
    authority = x509.load_pem_x509_certificate(pem.encode())
    try:
        found = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return []
    limits = [tree.value for tree in found.permitted_subtrees or []]
    excluded = [tree.value for tree in found.excluded_subtrees or []]
    return [name for name in names if not _may_vouch(name, limits, excluded)]


def _may_vouch(name, permitted, excluded):
    """Whether limits, each a name or a network, leave this name; a kind without any is free."""
    ours = [tree for tree in permitted if isinstance(tree, str) != is_address(name)]
    is_in = not ours or any(_covers(tree, name) for tree in ours)
    return is_in and not any(_covers(tree, name) for tree in excluded)


def _covers(subtree, name):
    if isinstance(subtree, str):
        return not is_address(name) and f".{name}".endswith(f".{subtree}")
    return is_address(name) and ipaddress.ip_address(name) in subtree
