"""Cells in jobs of a Slurm cluster: submitted through submitit, watched by squeue, finished by the same command."""
