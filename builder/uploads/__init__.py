"""Packages that are uploaded: `PUT /update`, from a request to a release on the mirror."""
