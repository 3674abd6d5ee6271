"""Tell addresses of the public internet from those that a request on somebody's behalf must not reach.

The ranges are those of IANA's registries of special-purpose addresses. An IPv6 address that carries an IPv4 address is
judged by both, since a gateway sends the packet to the latter.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_V4 = {
    "0.0.0.0/8": "this network", "10.0.0.0/8": "private", "100.64.0.0/10": "shared by a provider's customers",
    "127.0.0.0/8": "loopback", "169.254.0.0/16": "link-local", "172.16.0.0/12": "private",
    "192.0.0.0/24": "of protocols", "192.0.2.0/24": "documentation", "192.31.196.0/24": "of protocols",
    "192.52.193.0/24": "of protocols", "192.88.99.0/24": "6to4 relay", "192.168.0.0/16": "private",
    "192.175.48.0/24": "of protocols", "198.18.0.0/15": "benchmarking", "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation", "224.0.0.0/4": "multicast", "240.0.0.0/4": "reserved",
}  # fmt: skip
_V6 = {
    "::/128": "unspecified", "::1/128": "loopback", "64:ff9b:1::/48": "a local NAT64", "100::/48": "discarded",
    "2001::/32": "Teredo", "2001:2::/48": "benchmarking", "2001:10::/28": "ORCHID", "2001:20::/28": "ORCHID",
    "2001::/23": "of protocols", "2001:db8::/32": "documentation", "2620:4f:8000::/48": "of protocols",
    "3fff::/20": "documentation", "5f00::/16": "segment routing", "fc00::/7": "private", "fe80::/10": "link-local",
    "fec0::/10": "site-local", "ff00::/8": "multicast",
}  # fmt: skip
_V4_NETWORKS = [(IPv4Network(network), kind) for network, kind in _V4.items()]
_V6_NETWORKS = [(IPv6Network(network), kind) for network, kind in _V6.items()]
_CARRIERS = [
    # The network, and how many bits stand after the IPv4 address.
    (IPv6Network("::/96"), 0), (IPv6Network("::ffff:0:0/96"), 0), (IPv6Network("::ffff:0:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0), (IPv6Network("2002::/16"), 80),
]  # fmt: skip
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_PUBLIC_V6 = IPv6Network("2000::/3")


def special_kind(address: str) -> str:
    """Return what an IP address is reserved for, such as "loopback"; "" for an address of the public internet."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv4Address):
        return next((kind for network, kind in _V4_NETWORKS if parsed in network), "")
    if kind := next((kind for network, kind in _V6_NETWORKS if parsed in network), ""):
        return kind
    carried = _carried(parsed)
    if carried is not None and (kind := special_kind(str(carried))):
        return f"{kind}, as {carried}"
    return "" if carried is not None or parsed in _PUBLIC_V6 else "reserved"


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address inside of an IPv6 address."""
    number = int(address)
    for network, behind in _CARRIERS:
        if address in network:
            return IPv4Address(number >> behind & 0xFFFF_FFFF)
    if number >> 32 & 0xFFFF_FFFF in _ISATAP:
        return IPv4Address(number & 0xFFFF_FFFF)
    return None
