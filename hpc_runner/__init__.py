"""Bulk validation of generated code: candidates in, voted verdicts out."""

__version__ = "0.1.0"

__all__ = ["__version__"]
