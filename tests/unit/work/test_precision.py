"""The arithmetic of a training is its processor's or its GPU's, not the moment's."""

import time

import pytest
import torch

from pipelines.trainers import precision


def no_clock():
    raise AssertionError("A training that is timed is another one on a busy machine.")


@pytest.fixture(autouse=True)
def without_a_clock(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", no_clock)


@pytest.mark.parametrize(("capabilities", "chosen"), [({"amx_bf16": True}, "bf16"), ({"avx512_bf16": True}, "fp32")])
def test_a_processor_computes_in_bf16_where_it_has_tiles_for_it(monkeypatch, capabilities, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert precision.choose("auto", "cpu") == chosen


@pytest.mark.parametrize(("is_supported", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_computes_in_bf16_where_it_knows_it(monkeypatch, is_supported, chosen):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: is_supported)
    assert precision.choose("auto", "cuda") == chosen


@pytest.mark.parametrize("wish", ["fp32", "bf16"])
def test_a_wish_is_granted(wish):
    assert precision.choose(wish, "cpu") == wish
