"""Signing in by an identity provider (OpenID Connect): the code flow with PKCE, state and nonce, by the one door."""
