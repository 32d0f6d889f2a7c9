"""A pretend payment gateway that speaks the documented Stripe dialect for payments and refunds."""
