"""Materialisation: values computed for many entities, on a schedule or on request."""
