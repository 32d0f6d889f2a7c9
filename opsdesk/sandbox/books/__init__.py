"""A system that is told things by signed webhook, and can be told to take them back."""
