"""Gaps: collect the questions that were not answered, group them by meaning, and ask them again."""
