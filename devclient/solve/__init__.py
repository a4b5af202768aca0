"""Which releases go together, and why others do not."""
