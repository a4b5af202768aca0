"""Tests of otamirror: what each part promises, and whole journeys through all of them."""
