"""Ingestion: runs that bring the files of a source into an index.

`runs` opens, lists and finishes them, `work` reads and indexes their files, `prune` removes what is gone.
"""
