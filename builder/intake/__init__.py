"""Packages that are dropped: the inbox, what lies in it, and the watch over it."""
