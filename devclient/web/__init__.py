"""HTTP for devices."""
