"""A checkpoint comes back as it was written, the same content is the same bytes, and no damage goes unnoticed.

Damage is tried at every byte of a small file, and as truncation at every length.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import CheckpointError
from pipeline.nn.checkpoint import pack, unpack

TENSORS = {
    "convolution.weight": torch.linspace(-1, 1, 24).reshape(2, 3, 4),
    "norm.num_batches_tracked": torch.tensor(7),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "empty": torch.zeros(0, 4),
}
FACTS = {"step": 12, "history": [{"loss": 0.1}], "note": "µ"}
FILE = pack(TENSORS, FACTS)


def test_tensors_and_facts_come_back():
    tensors, facts = unpack(FILE, "here")
    assert facts == FACTS
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=5), st.floats(allow_nan=False), max_size=3))
def test_facts_keep_every_digit(facts):
    assert unpack(pack({}, facts), "here")[1] == facts


def test_a_tensor_in_any_memory_format_is_kept():
    weight = torch.randn(4, 3, 3, 3, 3).contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(unpack(pack({"weight": weight}, {}), "here")[0]["weight"], weight)


def test_the_same_content_is_the_same_bytes_in_any_order_and_process():
    assert pack(dict(reversed(TENSORS.items())), dict(reversed(FACTS.items()))) == FILE
    here = pack({"a": torch.arange(5), "b": torch.ones(2)}, {"x": 1, "y": [2.5]})
    code = (
        "import sys, torch; from pipeline.nn.checkpoint import pack;"
        "sys.stdout.buffer.write(pack({'b': torch.ones(2), 'a': torch.arange(5)}, {'y': [2.5], 'x': 1}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == here


@pytest.mark.parametrize("bits", [0x01, 0x80, 0x2A])
def test_a_changed_byte_anywhere_is_noticed(bits):
    for position in range(len(FILE)):
        damaged = bytearray(FILE)
        damaged[position] ^= bits
        with pytest.raises(CheckpointError, match="here"):
            unpack(bytes(damaged), "here")


def test_a_truncated_file_is_noticed_at_every_length():
    for length in range(len(FILE)):
        with pytest.raises(CheckpointError, match="delete the file"):
            unpack(FILE[:length], "here")


def test_a_file_with_something_behind_it_is_noticed():
    with pytest.raises(CheckpointError):
        unpack(FILE + b"\0", "here")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64), st.booleans())
def test_any_other_bytes_are_no_checkpoint(data, with_header):
    with pytest.raises(CheckpointError):
        unpack(len(data).to_bytes(8, "little") + data if with_header else data, "here")
