"""Which manifests this EdgeMM reads: the one rule of versions.

    version      of the format that the manifest is written in
    reads_from   the oldest reader, by the version that it writes itself, that understands this manifest

A newer bundle that needs nothing new therefore still opens, and one that does is refused with what to do. Only such a newer, admitted manifest may have
keys that this reader does not know; anywhere else an unknown key is an error, since it is a slip or a fraud. It knows nothing of what a manifest says.
"""

from __future__ import annotations

from typing import Any

from edgemm.errors import BundleError
from edgemm.version import __version__

FORMAT = "edgemm-bundle"
VERSION = 3  # of what this EdgeMM writes: grows with every change of the manifest
READS_FROM = 2  # what a reader must be to understand that: grows when an older one would misread it, not when it may overlook what is new
READS_FROM_WITH_ASSETS = 3  # where declarations carry files: version 2 would take a file's name for its content
OLDEST = 2  # that this EdgeMM still reads: version 1 had three modalities and no kinds
WRITTEN_BY = f"edgemm {__version__}"


def may_have_unknown_keys(manifest: Any) -> bool:
    """Whether a manifest (its JSON, not yet read) is of a newer version that still admits this reader.

    Raises:
        BundleError: it is no manifest, or not one that this EdgeMM reads; the message says what to do.
    """
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = repr(manifest.get("format"))[:40] if isinstance(manifest, dict) else type(manifest).__name__
        raise BundleError(f"manifest.json: format is {found}, expected '{FORMAT}'")
    version = manifest.get("version")
    reads_from = manifest.get("reads_from", version)
    if type(version) is not int or type(reads_from) is not int or not 1 <= reads_from <= version:
        raise BundleError(
            "manifest.json: version and reads_from must be whole numbers, reads_from from 1 to version; "
            f"got {version!r:.40} and {reads_from!r:.40}"
        )
    if reads_from > VERSION:
        writer = manifest.get("written_by")
        raise BundleError(
            f"manifest.json: {f'written by {writer!r:.40}' if writer else 'a newer EdgeMM wrote it'}, for readers of version {reads_from} or later; "
            f"this is {WRITTEN_BY}, which reads up to version {VERSION}. Update EdgeMM here, or export the model again with this one"
        )
    if version < OLDEST:
        raise BundleError(
            f"manifest.json: bundle version {version}; {WRITTEN_BY} reads version {OLDEST} and later. "
            "Export the model again, or install the EdgeMM that wrote it"
        )
    return version > VERSION
