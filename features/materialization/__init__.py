"""Materialisation: compute and store values for many entities, on a schedule or on request."""
