"""The whole circle, from a dropped package to an updated device."""
