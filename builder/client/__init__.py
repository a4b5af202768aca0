"""The publisher's end of an upload."""
