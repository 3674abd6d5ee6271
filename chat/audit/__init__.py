"""The audit log: every use of the admin, of debugging and of another's data is one entry."""
