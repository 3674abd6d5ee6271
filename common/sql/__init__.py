"""SQL used instead of the ORM; each module says what it saves."""
