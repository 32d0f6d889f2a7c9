"""Chat: where notices go besides the app and mail, over services that the package `apprise` speaks."""
