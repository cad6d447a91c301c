import subprocess
import sys

import pytest

from edgemm.host.entries import SinkEntry, SourceEntry
from edgemm.host.interfaces import Source
from edgemm.host.plugin_host import PluginHost
from edgemm.streaming.sources import sources_from_inputs
from edgemm_plugins import sinks, sources
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.text import Text

LISTING = """
import sys
from edgemm.host.plugin_host import PluginHost
from edgemm_plugins import sinks, sources
from edgemm.host.entries import SinkEntry, SourceEntry
host = PluginHost()
host.register(sources, "sources")
host.register(sinks, "sinks")
assert host.entries(SourceEntry) and host.entries(SinkEntry) and not host.failures, host.failures
print(sorted({"av", "numpy", "sounddevice", "soxr", "rich"} & set(sys.modules)))
"""


def test_listing_sources_and_sinks_imports_no_media_library() -> None:
    done = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_factory_resolves() -> None:
    host = PluginHost(strict=True)
    host.register(sources, "sources")
    host.register(sinks, "sinks")
    for record in (SourceEntry, SinkEntry):
        for name in host.entries(record):
            assert callable(host.load(record, name))


@pytest.mark.media
def test_a_film_and_its_sidecar_become_two_sources(write_clip, tmp_path) -> None:
    clip = str(write_clip())
    (tmp_path / "clip.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nadd them\n")
    specs = {"image": Image(96, 96), "audio": Audio(8000), "text": Text()}
    made = sources_from_inputs(specs, {"image": clip, "audio": clip, "text": tmp_path / "clip.srt"})
    assert sorted(source.inputs for source in made) == [("image", "audio"), ("text",)]
    assert all(isinstance(source, Source) and not source.live for source in made)
    for source in made:
        source.close()
