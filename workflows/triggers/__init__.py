"""What begins a run by itself. Whatever fires writes an event of the desk's own, and the intake opens the case."""
