"""Erasing a person: what the desk holds of a customer or a requester goes, sums and seals stay."""
