"""Start and stop the parts of the running bot."""
