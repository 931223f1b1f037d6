"""Where a request comes from, as little of it as serves: a network, never an address."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


def cut(address: str | None) -> str:
    """Return the network of an address: /24 of IPv4, /64 of IPv6; empty when it is none."""
    try:
        known: IPv4Address | IPv6Address = ip_address(address or "")
    except ValueError:
        return ""
    if isinstance(known, IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    length = 24 if known.version == 4 else 64
    return str(ip_network(f"{known}/{length}", strict=False))
