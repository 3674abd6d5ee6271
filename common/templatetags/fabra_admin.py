"""Tags of the admin's templates."""

from django import template
from django.utils.safestring import SafeString

from common.admin.html import badge

register = template.Library()


@register.simple_tag
def state_badge(state: str) -> SafeString:
    return badge(state)
