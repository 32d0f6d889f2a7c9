"""Stripe: payment intents and charges, refunds, webhooks. README.md says what to create on the other side."""


def register() -> None:
    """Teach the desk this protocol, both ways."""
    from integrations.connectors.stripe.connector import CANCEL, REFUNDS, StripeGateway
    from integrations.connectors.stripe.news import subscribe
    from integrations.connectors.stripe.webhook import read_stripe_event
    from integrations.operations import add_connector
    from workflows.registry import add_reader

    add_connector("stripe", StripeGateway, [REFUNDS, CANCEL])
    subscribe()
    add_reader("stripe", read_stripe_event)
