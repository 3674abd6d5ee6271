"""The documents as tools of the Model Context Protocol: search, and read one."""
