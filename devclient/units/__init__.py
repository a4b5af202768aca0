"""The units by which systemd runs otadevice."""
