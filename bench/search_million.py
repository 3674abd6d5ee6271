"""The same for a million chunks, on request: filling and building them takes up to an hour, and some 10 GB.

The chunks and their indexes take 5 of them, the rest is sorted on the way.
"""

from bench.figures import Row
from bench.search import measure_size


async def measure(*, is_quick: bool) -> list[Row]:
    return await measure_size(1_000_000, rounds=2 if is_quick else 6)
