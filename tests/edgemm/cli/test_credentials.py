"""No command shows a login, however it is written and wherever it is given by mistake."""

import pytest

from edgemm.cli.main import main

URIS = [
    "https://ann:hunter2@camera",
    "https://ann:my hunter2@camera",
    "//ann:hunter2@camera/cam",
    "https://camera/?loginuse=ann&loginpas=hunter2",
    "https://camera/?%70assword=hunter2",
    "clip?jwt=hunter2",
]


@pytest.mark.parametrize("uri", URIS)
@pytest.mark.parametrize(
    "words",
    [["export", "URI", "--out", "OUT"], ["verify", "URI"], ["run", "URI", "-i", "image=URI"], ["profile", "URI"]],
)
def test_a_uri_in_the_place_of_a_file_shows_no_login(words, uri, tmp_path, capsys) -> None:
    given = [word.replace("URI", uri).replace("OUT", str(tmp_path / "out")) for word in words]
    assert main(given) != 0
    assert "hunter2" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("uri", [*URIS, "https://camera/?password=my hunter2"])
def test_inputs_that_are_wrong_show_no_login(uri, capsys) -> None:
    assert main(["run", "bundle", "-i", f"image={uri}", "-i", f"image={uri}"]) == 2
    assert main(["run", "bundle", "-i", f"no name={uri.replace(' ', '')}"]) == 2
    assert "hunter2" not in "".join(capsys.readouterr())
