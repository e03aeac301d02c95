"""OpenID Connect: logging in through a provider."""
