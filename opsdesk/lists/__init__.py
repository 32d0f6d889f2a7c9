"""Lists of the desk as things of their own: what a saved view narrows, and what an export writes down."""
