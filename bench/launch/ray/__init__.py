"""Cells on the nodes of a Ray cluster. Ray is imported only where a cluster is used."""
