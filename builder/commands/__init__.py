"""The commands of `otamirror`, grouped by who types them; `builder.cli` puts them together.

Each is thin: options, objects, one call, output. Errors are left to `builder.cli`.
"""
