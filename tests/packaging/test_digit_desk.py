"""The reference model is a distribution of its own, and its wheel is whole."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

DESK = Path(__file__).parents[2] / "plugins" / "digit_desk"
SHIPPED = {"weights.safetensors", "calibration.npz", "clip.mp4", "clip.srt", "clip.jsonl"}
LIMIT_BYTES = 3_500_000


@pytest.fixture(scope="module")
def desk_wheel(build_wheel, tmp_path_factory) -> Path:
    return build_wheel(DESK, tmp_path_factory.mktemp("digit_desk"))


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_its_wheel_holds_the_package_and_what_ships(desk_wheel):
    package = DESK / "edgemm_digit_desk"
    ours = {f"edgemm_digit_desk/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")}
    ours |= {f"edgemm_digit_desk/shipped/{name}" for name in SHIPPED}
    ours |= {"edgemm_digit_desk/model.toml", "edgemm_digit_desk/py.typed"}
    inside = {name for name in names_in(desk_wheel) if ".dist-info/" not in name}
    assert inside == ours


def test_the_terms_of_its_data_are_in_its_wheel(desk_wheel):
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names_in(desk_wheel) if "/licenses/" in name}


def test_its_wheel_is_small(desk_wheel):
    assert desk_wheel.stat().st_size <= LIMIT_BYTES
