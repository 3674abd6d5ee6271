"""The bots of an installation: how each looks, what it answers from, and its picture."""
