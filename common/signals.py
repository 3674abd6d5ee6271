"""Signals of any app, for the apps above it."""

from django.dispatch import Signal

operator_acted = Signal()
"""Sent by a management command that did what somebody must answer for: `command`, `action`, `target`, `detail`.

A log of such acts, if an app above has one, stores it.
"""
