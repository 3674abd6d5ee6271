"""Limits of messages: what is counted, by whom, and the one atomic step that decides."""
