"""The benchmarks: each figure beside its floor, measured in the same run.

`make bench` runs them all; `python -m bench NAME ... --quick` some of them, on a smaller corpus. A floor is what
the work costs without the project: the same servers, clients and statements, and nothing around them.
"""
