"""After a restore nothing acts until people have read what the outside knows: see mode and tide."""
