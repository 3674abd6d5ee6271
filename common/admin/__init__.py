"""Building blocks of every app's admin pages."""
