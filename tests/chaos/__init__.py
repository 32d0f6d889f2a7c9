"""Proofs about the whole desk: every process runs, things go wrong from outside, the outcome is judged from outside."""
