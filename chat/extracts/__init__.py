"""Answers without a model: the few sentences of the passages that answer the question, in their own words."""
