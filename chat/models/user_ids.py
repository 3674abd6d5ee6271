"""How the ids of users begin who have neither an account nor a site that names them."""

VISITOR_PREFIX = "visitor:"
SHARED_PREFIX = "key:"
"""Of the ids that people share who use an API key and are not named."""
RESERVED_PREFIXES = (VISITOR_PREFIX, SHARED_PREFIX)
"""No site's users have such ids."""
