"""Run the benchmarks: `python -m bench [NAME ...] [--quick]`."""

import argparse
import asyncio
from importlib import import_module

from bench.figures import Row, heading, say
from bench.surroundings import forget, prepare, settle

NAMES = (
    "features", "materialize", "search", "follow_ups", "retriever", "assembly", "chat", "openai_api", "in_flight",
    "presence", "events", "burst", "quality", "conversations", "answers", "indexing", "bulk", "first_fill", "replay",
)  # fmt: skip
ON_REQUEST = ("search_million", "admin_pages", "waits", "footprint")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Print each figure beside its floor.")
    parser.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help=f"of {', '.join(NAMES)}; none: all of them. On request: {', '.join(ON_REQUEST)}",
    )
    parser.add_argument("--quick", action="store_true", help="10,000 chunks instead of 100,000, and fewer rounds")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in NAMES + ON_REQUEST]:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(NAMES + ON_REQUEST)}")
    settle()
    import django

    django.setup()
    prepare()
    rows: list[Row] = []
    try:
        for name in options.names or NAMES:
            say(f"Measuring {name} ...")
            rows += asyncio.run(import_module(f"bench.{name}").measure(is_quick=options.quick))
    finally:
        forget()
    say("\n".join(["", heading(), *map(str, rows)]))


if __name__ == "__main__":
    main()
