"""Where a request comes from, as little of it as serves: a network, never an address."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# As some proxies write it: an IPv4 address with a port, an IPv6 one in brackets with or without.
WITH_PORT = re.compile(r"^\[([^\]]+)\](?::\d+)?$|^(\d+(?:\.\d+){3}):\d+$")


def cut(address: str | None) -> str:
    """Return the network of an address: /24 of IPv4, /64 of IPv6; empty when it is none."""
    bare = WITH_PORT.match(address or "")
    try:
        known: IPv4Address | IPv6Address = ip_address(
            (bare[1] or bare[2]) if bare else (address or "")
        )
    except ValueError:
        return ""
    if isinstance(known, IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    length = 24 if known.version == 4 else 64
    return str(ip_network(f"{known}/{length}", strict=False))
