"""A soak: a bot of its own under a steady load for hours, to see that nothing grows but what is stored."""
