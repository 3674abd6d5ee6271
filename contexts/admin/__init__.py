"""The admin of contexts."""

from contexts.admin import definitions, traces

__all__ = ["definitions", "traces"]
