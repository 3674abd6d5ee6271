"""Contexts: what a model gets, assembled under a budget of tokens, with a trace that explains it."""
