"""The middleware that knows the project's pages."""

from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

from fabra_project.page_policies import MORE


class PagePolicies(CSPMiddleware):
    """Send the content security policy of SECURE_CSP, with what the pages below a path of MORE need instead."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        for path, directives in MORE.items():
            if request.path_info.startswith(path) and not report_only:
                parts.replace = directives | (parts.replace or {})
        return parts
