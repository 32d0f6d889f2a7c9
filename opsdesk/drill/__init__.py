"""The reversal drill: everything that is declared to be taken back is taken back in the sandbox, again and again."""
