"""Signed webhooks to any system that takes Standard Webhooks. README.md says what the other side must do."""


def register() -> None:
    """Teach the desk this protocol."""
    from integrations.connectors.webhook.connector import OPTIONS, POST, RETRACT, WebhookConnector
    from integrations.operations import add_connector

    add_connector("webhook", WebhookConnector, [POST, RETRACT], OPTIONS)
