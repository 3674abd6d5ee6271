"""A variable of the environment that cannot be read is named."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from common.environment import Environment


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("int", "many", "SHOP_X cannot be read: invalid literal for int"),
        ("float", "long", "SHOP_X cannot be read: could not convert string to float"),
        ("json", "{name}", "SHOP_X is no JSON: Expecting property name"),
        ("bool", "ture", "SHOP_X must be 1 or 0, not 'ture'."),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_name(
    kind: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_X", value)
    with pytest.raises(ImproperlyConfigured, match=said):
        getattr(Environment(), kind)("SHOP_X", default=None)


@pytest.mark.parametrize(("value", "is_on"), [("1", True), (" On ", True), ("TRUE", True), ("0", False), ("no", False)])
def test_a_switch(value: str, is_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_X", value)
    assert Environment().bool("SHOP_X", False) is is_on
    monkeypatch.delenv("SHOP_X")
    assert Environment().bool("SHOP_X", is_on) is is_on
