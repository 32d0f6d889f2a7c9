"""Removing what is older than a policy allows to keep, and never what a legal hold keeps."""
