"""Greetings, thanks and goodbyes: messages that are answered without a search and without a model."""

SMALL_TALK = "small_talk"
"""The flag of such an answer, the name of its context, and what stands where a model's name would."""
