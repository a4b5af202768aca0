"""What the owner of a device has set: `otadevice.toml`."""
