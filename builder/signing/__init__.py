"""Signed metadata: keys, roles, and every publish signed."""
