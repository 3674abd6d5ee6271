"""What the stack says instead of a traceback."""


class StackError(Exception):
    """The stack cannot go on; the message is one clear sentence for whoever typed the command."""
