"""`python -m fabra_project.stack up`, and `run [--data-dir DIR] [--fast] -- COMMAND...`"""

import argparse
import signal
import sys

# Ctrl-C during the imports below ends the process without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from fabra_project.stack.errors import StackError  # noqa: E402
from fabra_project.stack.run import run  # noqa: E402
from fabra_project.stack.up import up  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fabra_project.stack", description="Start and stop the bot's parts."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start the whole bot and stay until Ctrl-C")
    runner = verbs.add_parser("run", help="run a command with PostgreSQL and Redis beside it")
    runner.add_argument("--data-dir", help="where the servers' data lives (default: FABRA_DATA_DIR, else .data)")
    runner.add_argument(
        "--fast", action="store_true", help="do not wait for the disk: for tests, whose data may be lost"
    )
    runner.add_argument("command", nargs="+", help="the command, after --")
    arguments = parser.parse_args()
    try:
        if arguments.verb == "up":
            return up()
        return run(arguments.command, data_dir=arguments.data_dir, is_fast=arguments.fast)
    except StackError as error:
        print(f"\n{error}" if sys.stdout.isatty() else error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
