"""A kind by its name, without a scan of what is installed."""

from __future__ import annotations

import edgemm_plugins.inputs
import edgemm_plugins.outputs
from edgemm.host.named import INDEX


def test_the_index_is_what_our_plugins_register():
    registered = {("input", entry.name): entry.factory for entry in edgemm_plugins.inputs.edgemm_inputs()}
    registered |= {("output", entry.name): entry.factory for entry in edgemm_plugins.outputs.edgemm_outputs()}
    assert registered == INDEX
