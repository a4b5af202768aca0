"""The mirror over HTTP: the embedded server, and the configuration of others."""
