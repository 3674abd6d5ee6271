"""What cannot work is an error at declaration."""

from datetime import timedelta
from typing import Any

import pytest

from common.durations import format_duration, parse_duration
from common.errors import DefinitionError
from features import registry
from features.declaration import entity, feature


@pytest.fixture
def Thing() -> type:  # noqa: N802
    @entity()
    class Thing:
        """A thing."""

        thing_id: str

    return Thing


def test_an_entity_has_the_key_of_its_first_field(Thing: type) -> None:  # noqa: N803
    spec = registry.entities["Thing"]
    assert (spec.key, spec.description) == ("thing_id", "A thing.")


def test_a_duplicate_name_is_an_error_but_a_reimport_is_none(Thing: type) -> None:  # noqa: N803
    def declare() -> Any:
        @feature(entity=Thing)
        def size(thing_id: str) -> int:
            return 1

        return size

    declare()
    declare()  # the same file and line
    with pytest.raises(DefinitionError, match="declared twice"):

        @feature(entity=Thing, name="size")
        def other(thing_id: str) -> int:
            return 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"refresh": "soon"}, "refresh of"),
        ({"ttl": "-5m"}, "ttl of"),
        ({"refresh": timedelta(0)}, "longer than zero"),
        ({"stale_tolerance": 5}, "timedelta or text"),
        ({"entity": "Nobody"}, "unknown entity"),
        ({"trigger": "saved", "materialize": True}, "takes no materialize"),
    ],
)
def test_what_cannot_work_is_refused(Thing: type, arguments: dict[str, Any], message: str) -> None:  # noqa: N803
    with pytest.raises(DefinitionError, match=message):
        feature(**{"entity": Thing, **arguments})(lambda thing_id: 1)


def test_a_function_that_cannot_be_called_is_refused(Thing: type) -> None:  # noqa: N803
    with pytest.raises(DefinitionError, match="is called with"):

        @feature(entity=Thing)
        def two(thing_id: str, other: str) -> int:
            return 1

    with pytest.raises(TypeError):
        feature(entity=Thing, colour="red")  # type: ignore[call-arg]


def test_defaults_follow_the_mode(Thing: type) -> None:  # noqa: N803
    hour = timedelta(hours=1)
    for arguments, refresh, tolerance in [
        ({}, hour, timedelta(0)),
        ({"materialize": True}, hour, hour),
        ({"ttl": "5m"}, None, timedelta(0)),
        ({"trigger": "saved"}, None, timedelta(0)),
        ({"refresh": "1h30m", "stale_tolerance": "10s"}, timedelta(minutes=90), timedelta(seconds=10)),
    ]:
        registry.features.clear()
        feature(entity=Thing, name="x", **arguments)(lambda thing_id: 1)
        spec = registry.features["x"]
        assert (spec.refresh, spec.stale_tolerance) == (refresh, tolerance), arguments


@pytest.mark.parametrize("text", ["90s", "5m", "1h30m", "7d", "2w1d"])
def test_durations_are_read_and_written(text: str) -> None:
    duration = parse_duration(text, "it")
    assert duration is not None
    assert parse_duration(format_duration(duration), "it") == duration
