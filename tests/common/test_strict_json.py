"""JSON from outside is read in one way at every door."""

from typing import Any

import pytest

from common.strict_json import NotJSON, parse_json


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no valid JSON at character 1"),
        (b"\xff", "is not UTF-8"),
        ("[" * 100_000, "is nested too deep"),
        ('[{"a": NaN}]', "is no valid JSON: NaN is no number of it"),
        ("-Infinity", "is no valid JSON: -Infinity is no number of it"),
        ("1" * 5000, "is no valid JSON"),
        ('{"audience": ["staff"], "audience": []}', "has 'audience' twice in one object"),
        ('[{"a": {"b": 1, "\\u0062": 1}}]', "has 'b' twice in one object"),
    ],
)
def test_what_is_wrong_is_said(text: str | bytes, said: str) -> None:
    with pytest.raises(NotJSON) as refused:
        parse_json(text)
    assert str(refused.value) == said


@pytest.mark.parametrize("text", ['\ufeff{"a": [1, {"a": "b"}]}', '\ufeff{"a": [1, {"a": "b"}]}'.encode()])
def test_a_byte_order_mark_is_none_of_it(text: Any) -> None:
    assert parse_json(text) == {"a": [1, {"a": "b"}]}
