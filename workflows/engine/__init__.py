"""The engine: moves runs through their steps. It knows nothing of people or of the outside."""
