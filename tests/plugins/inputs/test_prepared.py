"""What a network of one's own is given of a kind's tensors, where it says nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from edgemm_plugins.inputs.clip import Clip
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.text import Text

torch = pytest.importorskip("torch")


def prepared(kind):
    """The only tensor as it was drawn, and as a network is given it."""
    (drawn,) = kind.draw(2, np.random.default_rng(0))
    return drawn, kind.prepared(torch.from_numpy(drawn))


def test_a_network_of_video_is_given_channels_first():
    clip, given = prepared(Clip(8, 4, 6))
    assert given.shape == (2, 3, 8, 4, 6)
    np.testing.assert_allclose(given[1, 2, 5].numpy(), clip[1, 5, :, :, 2] / 255, rtol=1e-6)


def test_a_network_of_frames_is_given_channels_first():
    frames, given = prepared(Image(4, 6))
    assert given.shape == (2, 3, 4, 6)
    np.testing.assert_allclose(given[1, 2].numpy(), frames[1, :, :, 2] / 255, rtol=1e-6)


def test_a_network_of_text_is_given_bytes_as_embeddings_take_them():
    lines, given = prepared(Text(64))
    assert given.dtype == torch.int64
    np.testing.assert_array_equal(given.numpy(), lines)
