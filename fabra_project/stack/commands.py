"""Run several of Django's commands in one process: `python -m fabra_project.stack.commands COMMAND...`

A command is a name, with its options behind it in the same word. One process, because importing the project takes
longer than most of the commands. Before each command, a line with MARK and the command is printed.
"""

import os
import sys

MARK = "\x1e"  # no command prints a record separator


def main(names: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fabra_project.settings")
    import django
    from django.core.management import CommandError, call_command

    django.setup()
    for name in names:
        print(f"{MARK}{name}", flush=True)
        try:
            call_command(*name.split(), no_color=True)
        except CommandError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
