"""Tests of the device's side."""
