"""Measure the chat on files of questions: its extracts, and its check of what an answer says."""
