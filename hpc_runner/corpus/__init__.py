"""Readers: from a corpus file to candidates, one row at a time."""
