"""Everything that is done with results: Parquet goes in; statistics, verdicts, figures and a report come out.

Read in this order: `frame` (files to tidy frames), `statistics` (arithmetic only), `verdict` and
`recommendation` (what may be said, and what not), `table`, `theme` and `figures/` (one figure a file),
`report` (all of it on one page). Nothing here imports torch or `bench`: a folder of results is all it needs.
"""
