"""The outbox: events, their order and their handlers. It does not depend on what the events mean."""
