"""The audit log: every use of a door of the admin or of debugging is one entry."""
