"""Where a request comes from, as a network."""

import pytest

from service.identity.networks import cut


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.5", "203.0.113.0/24"),
        ("203.0.113.5:4711", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::4]:9", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::4]", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", "203.0.113.0/24"),
        ("unknown", ""),
        ("203.0.113.5:x", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_is_cut_to_its_network_however_a_proxy_writes_it(address, network):
    assert cut(address) == network
