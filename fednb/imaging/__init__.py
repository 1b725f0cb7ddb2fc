"""Volumes: readers, the survey of a dataset, and the transforms that are allowed."""
