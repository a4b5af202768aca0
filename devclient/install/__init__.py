"""Releases into their places, and back out of them."""
