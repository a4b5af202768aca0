"""What the owner of a device, programs and monitoring are told."""
