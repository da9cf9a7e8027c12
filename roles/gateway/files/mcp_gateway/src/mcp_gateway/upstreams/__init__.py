"""Upstreams: how the gateway speaks to tool servers."""
