"""Backups of the embedded desk: a folder with a dump and its manifest, and the way back into a desk that recovers."""
