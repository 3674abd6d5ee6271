"""Ingestion: runs that index the files of a source.

`runs` opens runs, lists their files and finishes them; `work` reads and indexes the files; `page_ends` knows what most
pages of a source begin and end with; `prune` deletes documents that the source no longer has; `dry_run` reports what a
run would change.
"""
