"""Charts over time show each value, also one that stands alone."""

import re

from common.admin.charts import Series, line_chart


def path_of(*values: float | None) -> str:
    drawn = line_chart([str(n) for n in range(len(values))], [Series(name="p50", tone="info", values=values)], str)
    (path,) = re.findall(r' d="([^"]*)"', drawn)
    return str(path)


def test_neighbours_are_joined_and_a_single_value_is_a_dash() -> None:
    assert re.sub(r"[\d.]+", "_", path_of(None, 1, None, 2, 3, None, 4)) == "M_ _ h_ M_ _ L_ _ M_ _ h_"
    assert path_of(None, None) == ""
