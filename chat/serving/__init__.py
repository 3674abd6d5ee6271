"""How the pages are served: their place in the site, their headers, and what an ASGI server is given."""
