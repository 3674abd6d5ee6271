"""Code that every app uses; nothing in it belongs to one product."""
