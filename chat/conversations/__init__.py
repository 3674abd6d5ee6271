"""Conversations between their turns: what was said before, what is done with a whole conversation."""
