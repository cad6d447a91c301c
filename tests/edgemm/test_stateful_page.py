"""The program of docs/stateful.md runs as it stands there, and what it prints is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.testing import check_encoder

PAGE = (Path(__file__).parents[2] / "docs" / "stateful.md").read_text(encoding="utf-8")


@pytest.mark.export
def test_a_recurrent_network_exports_and_streams_what_it_computes_in_one_pass(tmp_path, monkeypatch, capsys):
    (text,) = re.findall(r"<!-- test: state -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    exec(compile(text, "docs/stateful.md", "exec"), names)
    apart = re.fullmatch(r"in pieces and in one pass differ by (\S+) at most\n", capsys.readouterr().out)
    assert apart
    assert float(apart[1]) < 1e-5
    assert names["summary"].fallbacks == {}
    assert set(Bundle(tmp_path / "listener.edgemm").manifest.variants) == {
        "cpu.onnxruntime.fp32",
        "cpu.onnxruntime.int8",
    }


@pytest.mark.export
def test_the_encoder_of_the_page_keeps_its_contract():
    (text,) = re.findall(r"```python\n(class Feel.*?)```", PAGE, re.DOTALL)
    names = {"nn": nn}
    exec(compile(text, "docs/stateful.md", "exec"), names)
    torch.manual_seed(0)
    check_encoder(names["Feel"](), edgemm.Tensor((6,)), width=64)
