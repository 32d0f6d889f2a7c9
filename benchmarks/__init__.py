"""Measured work, printed as JSON. Read the ratios: machines differ, and one machine differs from hour to hour."""
