"""Runs on one page: what was measured, beside what was published, and what may be inferred."""
