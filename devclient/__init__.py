"""Reads mirrors: a device's side of the contract."""
