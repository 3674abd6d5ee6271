"""The stack's error, whose message is shown instead of a traceback."""


class StackError(Exception):
    """The stack cannot continue; the message is one clear sentence for the user of the command."""
