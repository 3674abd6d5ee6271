"""The address of a request's sender, also behind proxies."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_IPV6_SITE = 64
"""The prefix of an IPv6 network that one customer of a provider has: each of its addresses is the same sender."""


def parse_network(text: str) -> Network:
    """Return the network of a CIDR or of a single address; raise ValueError."""
    return ip_network(text.strip(), strict=False)


def parse_networks(texts: Iterable[str], setting: str) -> list[Network]:
    try:
        return [parse_network(text) for text in texts]
    except ValueError as error:
        raise ImproperlyConfigured(f"{setting}: {error}.") from None


def client_address(peer: str | None, forwarded_for: str | None) -> Address | None:
    """Return who sent a request; None if the connection has no IP address (a Unix socket, a test).

    Each proxy appends to `X-Forwarded-For` the address that it got the request from. So the header is read from its
    right end, and only as long as a proxy of FABRA_TRUSTED_PROXIES vouches for it: what is left of that is the
    client's own invention.
    """
    address = parse_address(peer)
    hops = (forwarded_for or "").split(",")
    while address is not None and hops and _is_proxy(address):
        previous = parse_address(hops.pop())
        if previous is None:
            break
        address = previous
    return address


def sender_of(address: Address | None) -> str:
    """Return what limits are counted by: an IPv4 address, or the /64 of an IPv6 one; "" for None."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_SITE), strict=False).network_address)
    return str(address or "")


def is_within(address: Address | None, networks: Iterable[str]) -> bool:
    return address is not None and any(address in parse_network(network) for network in networks)


def parse_address(text: str | None) -> Address | None:
    """Return the address; an IPv4 one that is mapped to IPv6 as IPv4. None for a text that is none."""
    try:
        address = ip_address((text or "").strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_proxy(address: Address) -> bool:
    return any(address in network for network in settings.FABRA_TRUSTED_PROXIES)
