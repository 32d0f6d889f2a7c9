"""Bulk operations: one thing done to many subjects, previewed, run as a person's errand, with a result for each."""
