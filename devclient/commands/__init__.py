"""The commands of otadevice, grouped by what they do to a device."""
