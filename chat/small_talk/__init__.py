"""Greetings, thanks and goodbyes: messages that are answered without a search and without a model."""
