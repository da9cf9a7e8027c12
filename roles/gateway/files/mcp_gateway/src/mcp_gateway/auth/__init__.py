"""Authorities that know credentials: static keys, LiteLLM, OIDC."""
