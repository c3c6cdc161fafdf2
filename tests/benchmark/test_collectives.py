"""Collectives are found in the text of a compiled program."""

import pytest

from benchmark.collectives import collectives, in_parameters

PROGRAM = """
  %add = f32[4]{0} add(%a, %b)
  %one = (f32[3,2]{1,0}, f32[]) all-reduce(%p, %q), channel_id=1
  %two = bf16[8]{0} all-reduce-start(%r), channel_id=2
  %done = bf16[8]{0} all-reduce-done(%two)
  %three = f32[2,8]{1,0} all-gather(%s), dimensions={0}
"""


def test_each_collective_is_found_once_with_its_size():
    assert collectives(PROGRAM) == [("all-reduce", 7), ("all-reduce", 8), ("all-gather", 16)]


def test_sizes_are_relative_to_the_number_of_parameters():
    assert in_parameters(PROGRAM, 8)[0] == {"kind": "all-reduce", "parameters": 0.88}


@pytest.mark.parametrize(
    "name",
    [
        *("all-to-all", "ragged-all-to-all", "reduce-scatter", "send", "recv"),
        *("collective-permute", "collective-broadcast"),
    ],
)
def test_every_communicating_operation_is_found(name):
    program = f"  %x = f32[4]{{0}} {name}(%a)\n  %y = f32[4]{{0}} {name}-done(%x)\n"
    assert collectives(program) == [(name, 4)]
