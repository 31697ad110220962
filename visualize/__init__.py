"""Read results (Parquet) and make statistics, verdicts, figures and a report from them.

Each folder imports only the folders before it: `read/` (files to tidy frames), `stats/` (arithmetic only), `judge/`
(verdicts and answers), `findings/` (sentences about numerics, work, learning and failures) and `figures/`
(one file per figure), `show/` (tables and the page). The commands `report`, `compare`, `explain`, `export` and
`layers_to_keep` use them. Nothing here imports torch or `bench`: a folder of results is enough.
"""
