"""What this plugin offers. Only records are made here: the modules that they name are imported when they are used."""

from __future__ import annotations

from collections.abc import Iterator

import edgemm


@edgemm.hookimpl
def edgemm_encoders() -> Iterator[edgemm.EncoderEntry]:
    """One encoder."""
    yield edgemm.EncoderEntry(
        name="imu.conv",
        modality="imu",
        factory="edgemm_template.imu:build",
        config="edgemm_template.imu:Config",
        summary="readings of an inertial sensor, (time, axes), to one token",
        requires=("torch",),
        extra="export",
    )


@edgemm.hookimpl
def edgemm_sources() -> Iterator[edgemm.SourceEntry]:
    """One source."""
    yield edgemm.SourceEntry(
        name="tone",
        factory="edgemm_template.tone:build",
        summary="tone:HERTZ, a sine for ten seconds",
        schemes=("tone",),
        modalities=("audio",),
    )
