"""Survival and logistic models from sums, in numpy."""
