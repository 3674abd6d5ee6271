"""Tags of the admin's templates."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.safestring import SafeString

from common.admin.html import badge

register = template.Library()


@register.filter(name="of")
def value_of(values: Mapping[Any, Any] | None, key: Any) -> Any:
    """Return a mapping's value for a key that is a variable; "" without one."""
    return (values or {}).get(key, "")


@register.simple_tag
def state_badge(state: str) -> SafeString:
    return badge(state)
