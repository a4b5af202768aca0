"""The contract between builders and devices: names, versions, content, layout, durable files.

Does no network I/O and imports neither builder nor devclient.
"""
