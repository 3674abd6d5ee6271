"""Measure the check: true answers are made false in known ways, and what it finds is counted."""
