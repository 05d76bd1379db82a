"""Tidegate in the lab: where its programs are, what its manifests look like, how it is run, and what passes through it."""
