"""Archives, judged member by member and unpacked."""
