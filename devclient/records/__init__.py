"""What a device keeps in its work folder between two runs."""
