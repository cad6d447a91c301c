from types import SimpleNamespace

import numpy as np
import pytest

from edgemm_plugins.sources.frames import rgb_from_frame

PICTURE = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)


@pytest.mark.parametrize(("rotation", "shape"), [(0, (2, 4, 3)), (90, (4, 2, 3)), (-90, (4, 2, 3)), (180, (2, 4, 3))])
def test_a_telephones_film_stands_upright(rotation: int, shape: tuple[int, ...]) -> None:
    array = rgb_from_frame(SimpleNamespace(rotation=rotation, to_ndarray=lambda **options: PICTURE))
    assert array.shape == shape
    assert array.flags.c_contiguous
    top_left = {0: PICTURE[0, 0], 90: PICTURE[0, 3], -90: PICTURE[1, 0], 180: PICTURE[1, 3]}[rotation]
    np.testing.assert_array_equal(array[0, 0], top_left)


def test_releases_of_pyav_without_rotation_are_fine() -> None:
    assert rgb_from_frame(SimpleNamespace(to_ndarray=lambda **options: PICTURE)).shape == (2, 4, 3)
