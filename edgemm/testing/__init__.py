"""Contract checks for plugin authors: what EdgeMM asks of a kind of input or output, an encoder, a fusion, a head, a source and a runner.

    from edgemm.testing import check_encoder

    def test_depth():
        check_encoder(build(Config(), Tensor((64, 64), modality="depth")), Tensor((64, 64), modality="depth"))

A check returns when everything holds and raises `ContractError`, which says what was expected and what came. EdgeMM's own plugins
go through the same checks. It knows nothing of what a module computes.
"""

from __future__ import annotations

from edgemm.testing.contract import ContractError
from edgemm.testing.encoders import check_encoder
from edgemm.testing.examples import draw_inputs
from edgemm.testing.fusions import check_fusion
from edgemm.testing.heads import check_head
from edgemm.testing.inputs import check_input
from edgemm.testing.outputs import check_output
from edgemm.testing.runners import check_runner
from edgemm.testing.sources import check_source

__all__ = [
    "ContractError",
    "check_encoder",
    "check_fusion",
    "check_head",
    "check_input",
    "check_output",
    "check_runner",
    "check_source",
    "draw_inputs",
]
