"""The page for people: sign in at the company's provider, see what is there, get a key."""

from __future__ import annotations

__version__ = "0.1.0"
