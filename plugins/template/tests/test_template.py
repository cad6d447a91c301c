"""The plugin keeps EdgeMM's contracts, and does what it is for."""

import numpy as np
import pytest
from edgemm_template import imu, tone

import edgemm
from edgemm.errors import UsageError
from edgemm.testing import check_encoder, check_source

MOTION = edgemm.Motion(6, samples=50)
SOUND = {"audio": edgemm.Audio(8000)}


def test_encoder():
    check_encoder(imu.build(imu.Config(width=24), MOTION), MOTION, width=24)


def test_source():
    packets = check_source(tone.build("tone:440", SOUND, {}), SOUND, count=50)
    samples = np.concatenate([packet.value.samples for packet in packets])
    assert np.argmax(np.abs(np.fft.rfft(samples))) == 440  # one second: bins are Hz


def test_a_uri_without_a_number():
    with pytest.raises(UsageError, match="tone:HERTZ"):
        tone.build("tone:loud", SOUND, {})
