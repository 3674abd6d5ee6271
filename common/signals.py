"""Signals of any app, for the apps above it."""

from django.dispatch import Signal

operator_acted = Signal()
"""Sent by a management command that did what somebody must answer for: `command`, `action`, `target`, `detail`.

The chat's audit log stores it; see chat.audit.
"""
