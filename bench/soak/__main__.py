"""Run the soak: `python -m bench.soak [--minutes 120] [--chats 5] [--events 20]`."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from bench.servers import PROJECT
from bench.soak.bot import running_bot
from bench.soak.load import Load
from bench.soak.report import notes_of, write_report
from bench.soak.samples import Sampler


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Load a bot of its own for hours.")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--chats", type=float, default=5, help="a second")
    parser.add_argument("--events", type=float, default=20, help="a second")
    parser.add_argument("--sample-every", type=float, default=15, help="seconds")
    parser.add_argument("--data-dir", type=Path, default=PROJECT / ".data" / "soak")
    parser.add_argument("--report", type=Path, default=PROJECT / "docs", help="the folder of soak.md and its picture")
    options = parser.parse_args()
    # A shell's background job ignores Ctrl-C, and is ended by a SIGTERM: the bot is to be stopped, and the report made.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running_bot(options.data_dir) as bot:
        load = Load(url=bot.url, chats_a_second=options.chats, events_a_second=options.events)
        sampler = Sampler(bot, load)
        try:
            asyncio.run(_soak(load, sampler, 60 * options.minutes, options.sample_every))
        except KeyboardInterrupt:
            print("Interrupted: the report covers what was run.", file=sys.stderr)
        sampler.close()
    if len(sampler.samples) < 4:
        sys.exit("Too short for a report.")
    path = write_report(options.report, sampler.samples, load)
    print(f"The report is {path}.")
    if notes_of(path):
        print("It has the notes of the page before: see whether they are true of this run.")


async def _soak(load: Load, sampler: Sampler, seconds: float, every_s: float) -> None:
    running = asyncio.create_task(load.run(seconds))
    while not running.done():
        await asyncio.wait([running], timeout=every_s)
        print(await asyncio.to_thread(sampler.take), flush=True)
    await running


if __name__ == "__main__":
    main()
