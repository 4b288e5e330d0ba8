"""Benchmarks: symflow's generated modules beside other libraries, on the same work.

`make bench` runs all of it; `python -m benchmarks --help` says how to run parts.
"""
