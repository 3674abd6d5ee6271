"""Ids of users: how those begin who have neither an account nor a site that names them, and where others are named."""

VISITOR_PREFIX = "visitor:"
SHARED_PREFIX = "key:"
"""The prefix of the ids that people share who use an API key and are not named."""
RESERVED_PREFIXES = (VISITOR_PREFIX, SHARED_PREFIX)
"""No site's users have such ids."""
USER_HEADERS = ("X-Fabra-User", "X-OpenWebUI-User-Id")
"""Headers that name the user of `/v1`, for front ends that can add headers but no field."""
