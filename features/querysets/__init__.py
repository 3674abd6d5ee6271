"""Features whose values come from a queryset of a team's own models."""
