"""The outbox: events, their order, and what is done with them. It knows nothing of what they are about."""
