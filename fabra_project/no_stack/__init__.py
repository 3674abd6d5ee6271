"""The database backend used when the settings name no database."""

MESSAGE = "No running stack was found: run `make up`, or set DATABASE_URL and REDIS_URL to servers of your own."
