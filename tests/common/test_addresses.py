"""Only addresses of the public internet count as public, whatever they are wrapped in."""

import pytest

from common.addresses import special_kind


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "223.255.255.255", "2606:4700::1111",
                "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"],
)  # fmt: skip
def test_public_addresses(address: str) -> None:
    assert special_kind(address) == ""


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0", "this network"), ("10.1.2.3", "private"), ("100.64.0.1", "shared by a provider's customers"),
        ("127.255.0.1", "loopback"), ("169.254.169.254", "link-local"), ("172.31.255.255", "private"),
        ("192.0.0.170", "of protocols"), ("192.0.2.1", "documentation"), ("192.88.99.1", "6to4 relay"),
        ("192.168.1.1", "private"), ("198.19.0.1", "benchmarking"), ("203.0.113.9", "documentation"),
        ("224.0.0.251", "multicast"), ("240.0.0.1", "reserved"), ("255.255.255.255", "reserved"),
        ("::", "unspecified"), ("::1", "loopback"), ("fe80::1%eth0", "link-local"), ("fd00::1", "private"),
        ("fec0::1", "site-local"), ("ff02::1", "multicast"), ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"), ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"), ("2001:2::1", "benchmarking"),
        ("100::1", "discarded"), ("5f00::1", "segment routing"), ("4000::1", "reserved"),
        ("64:ff9b:1::1", "a local NAT64"),
        ("::ffff:10.0.0.1", "private, as 10.0.0.1"), ("::127.0.0.1", "loopback, as 127.0.0.1"),
        ("::ffff:0:127.0.0.1", "loopback, as 127.0.0.1"), ("64:ff9b::a00:1", "private, as 10.0.0.1"),
        ("2002:a9fe:a9fe::1", "link-local, as 169.254.169.254"), ("2606:4700::5efe:10.0.0.1", "private, as 10.0.0.1"),
    ],
)  # fmt: skip
def test_special_addresses(address: str, kind: str) -> None:
    assert special_kind(address) == kind
