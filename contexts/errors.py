"""The errors of an assembly; see common.errors for the root classes."""

from typing import Any

from common.errors import FabraError, Unavailable


class AssemblyError(FabraError):
    """The context cannot be assembled as it is declared."""

    code = "assembly_failed"


class BudgetExceeded(AssemblyError):
    """The required items alone are over the token budget."""

    code = "budget_exceeded"


class ContextDisabled(Unavailable):
    """The context is switched off in the admin."""

    code = "context_disabled"


class FreshnessViolation(Unavailable):
    """A value is older than the context's freshness_sla allows."""

    code = "freshness_violation"

    def __init__(self, message: str | None = None, report: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.report = report
        """The FreshnessReport as a dict, as stored in the trace."""


class TraceNotWritten(Unavailable):
    """The trace could not be written, and no answer leaves without its evidence."""

    code = "trace_not_written"
