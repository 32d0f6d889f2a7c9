"""The project itself: pages, navigation, tags."""
