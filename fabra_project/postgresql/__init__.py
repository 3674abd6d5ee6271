"""Django's PostgreSQL backend with a pool, which Django names by its folder."""
