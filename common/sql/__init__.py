"""SQL beside the ORM, each with what it saves."""
