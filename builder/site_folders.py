"""The folders of a site: which are for everybody, and which for the service alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder import private, public

if TYPE_CHECKING:
    from builder.site import Paths
    from mirror.files import Files


def make(paths: Paths, files: Files) -> None:
    """Make the folders and the file of the catalogue that are not there yet; close what only the service may open.

    Raises:
        PrivacyError: a folder that must be private belongs to somebody else, or is open to others.
    """
    for folder in (paths.var, paths.inbox, paths.rejected, paths.mirror, paths.catalogue.parent):
        public.make_folder(folder, files)
    private.make_folder(paths.spool, files, close=True)
    private.make_folder(paths.claimed, files)
    private.make_file(paths.catalogue, files)
    for suffix in ("-wal", "-shm"):  # SQLite makes them as the catalogue is, and has locks on them
        private.close_file(paths.catalogue.with_name(paths.catalogue.name + suffix), files)
