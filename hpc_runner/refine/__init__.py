"""Refinement: what failed is repaired by a model and runs again in the next wave."""
