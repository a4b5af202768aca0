"""Writes mirrors: takes submissions, verifies, catalogues, renders and publishes them."""
