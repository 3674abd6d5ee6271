"""What every app stands on, and nothing of a product."""
