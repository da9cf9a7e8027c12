# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.intranet.mcp.plugins.filter.balancer import (
    FilterModule,
    acme_thumbprint,
    balancer_is_due,
    subject_alt_names,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.state.authority import name_constraints
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)


def test_a_certificate_tells_names_from_addresses():
    found = subject_alt_names(["llm.example.internal", "192.0.2.10", "fd00::5"])
    assert found == ["DNS:llm.example.internal", "IP:192.0.2.10", "IP:fd00::5"]


@pytest.mark.parametrize(
    ("names", "further", "permitted", "excluded"),
    [
        (
            ["llm.example.internal", "192.0.2.10", "192.0.2.11", "fd00::5"],
            ["example.org", "10.1.0.0/16"],
            [
                "DNS:llm.example.internal",
                "IP:192.0.2.0/24",
                "IP:fd00::/64",
                "DNS:example.org",
                "IP:10.1.0.0/16",
            ],
            [],
        ),
        (["192.0.2.10"], [], ["IP:192.0.2.0/24", "DNS:invalid"], []),
        (["llm"], [".example"], ["DNS:llm", "DNS:example"], ["IP:0.0.0.0/0", "IP:::/0"]),
    ],
)
def test_an_authority_has_a_bound_for_names_and_for_addresses(names, further, permitted, excluded):
    found = name_constraints(names, further)
    assert found == {"permitted": permitted, "excluded": excluded}


def test_where_people_come_by_address_addresses_have_no_bound():
    """Claude Code and opencode refuse each certificate for an address where they have one."""
    found = name_constraints(["192.0.2.10"], by_address=True)
    assert found == {"permitted": ["DNS:invalid"], "excluded": []}
    found = name_constraints(["llm1", "192.0.2.10"], ["10.1.0.0/16"], by_address=True)
    assert found == {"permitted": ["DNS:llm1"], "excluded": []}


def test_a_wrong_network_for_the_authority_ends_in_one_sentence():
    with pytest.raises(AnsibleFilterError, match=r"10\.1\.0\.1/16.*load_balancer_ca_names"):
        name_constraints(["llm"], ["10.1.0.1/16"])


def test_a_wrong_topology_ends_in_one_sentence():
    with pytest.raises(AnsibleFilterError, match="put a host into group litellm"):
        FilterModule().filters()["haproxy_config"]([], {})


def test_the_thumbprint_of_an_account_is_the_one_of_its_key():
    """Worked out apart from the code under test, with openssl, for the private number 7."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert acme_thumbprint(pem) == "ccgscWSOWNe7zfELCIRHTdb7JkVy_Eo2vg371C5rplY"


NAMES = ["intranet-load_balancer", "intranet-keepalived"]
BALANCER = {"Names": ["/intranet-load_balancer"], "Ports": [{"PublicPort": 443}]}
KEEPALIVED = {"Names": ["/intranet-keepalived"], "Ports": []}
# The second port is none that the host publishes.
GATEWAY = {"Names": ["/intranet-gateway"], "Ports": [{"PublicPort": 8080}, {"PrivatePort": 443}]}


@pytest.mark.parametrize(
    ("containers", "ports", "is_due"),
    [
        ([], [443, 8000], True),
        ([GATEWAY], [443, 8000], True),
        ([{"Names": None, "Ports": None}], [443, 8000], True),  # is being removed
        ([GATEWAY], [8080, 8000], False),  # the gateway leaves that port first
        ([BALANCER], [443, 8000], True),  # an address to share is new
        ([BALANCER, KEEPALIVED, GATEWAY], [443, 8000], False),
    ],
)
def test_a_balancer_starts_first_where_there_is_none(containers, ports, is_due):
    assert balancer_is_due({"containers": containers}, NAMES, ports) is is_due
