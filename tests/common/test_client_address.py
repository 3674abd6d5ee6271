"""Whose address counts: the last one that a trusted proxy vouches for."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from common.client_address import client_address, is_within, parse_networks, sender_of


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),  # the peer is no proxy
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", " , 198.51.100.1 ", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("2001:db8::1", "[2001:db8:1::7]", "2001:db8:1::7"),
        ("", "198.51.100.1", "None"),
        ("testclient", None, "None"),
    ],
)
def test_the_header_is_read_from_its_right_end(settings: Any, peer: str, forwarded: str | None, client: str) -> None:
    settings.FABRA_TRUSTED_PROXIES = parse_networks(["10.0.0.0/8", "2001:db8::1"], "FABRA_TRUSTED_PROXIES")
    assert str(client_address(peer, forwarded)) == client


def test_limits_count_an_ipv6_network_as_one_sender() -> None:
    def sender(peer: str) -> str:
        return sender_of(client_address(peer, None))

    assert sender("2001:db8::1") == sender("2001:db8::ffff:1") == "2001:db8::"
    assert sender("2001:db8:0:1::1") != sender("2001:db8::1")
    assert (sender("192.0.2.1"), sender("")) == ("192.0.2.1", "")


def test_an_address_of_another_family_is_within_no_network() -> None:
    assert not is_within(client_address("2001:db8::1", None), ["0.0.0.0/0"])
    assert not is_within(None, ["0.0.0.0/0"])


def test_a_setting_that_is_no_network_is_told() -> None:
    with pytest.raises(ImproperlyConfigured, match="FABRA_TRUSTED_PROXIES"):
        parse_networks(["proxy.internal"], "FABRA_TRUSTED_PROXIES")
