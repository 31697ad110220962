"""Everything that is done with results: Parquet goes in; statistics, verdicts, figures and a report come out.

Its rooms, each of which imports only those before it: `read/` (files to tidy frames), `stats/` (arithmetic only),
`judge/` (what may be said, and what not), `findings/` (what rows say besides) and `figures/` (one figure a file),
`show/` (tables and the page); then the commands `report` and `compare`. Nothing here imports torch or `bench`: a
folder of results is all it needs.
"""
