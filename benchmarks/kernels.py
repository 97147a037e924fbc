"""The kernels of a compiled program: how many run, and what each computes and moves.

XLA's own `cost_analysis` counts the body of a loop once, however often it runs. Here the optimised
program's text is read instead, and a kernel counts as often as its loops reach it. A loop whose
trip count XLA does not know counts once: in training that is the loop over updates, so that the
figures are those of one update.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
_BYTES |= {"f64": 8, "s64": 8, "u64": 8}
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}
_SLICES = {"slice", "dynamic-slice", "gather"}

_INSTRUCTION = re.compile(r"\s*(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([\w-]+)\((.*)")
_COMPUTATION = re.compile(r"(ENTRY )?%(\S+) \(.*{$")
_ARRAY = re.compile(r"([a-z]+[0-9]*)\[([0-9,]*)\]")
_TRIPS = re.compile(r'"known_trip_count":{"n":"([0-9]+)"}')


class Kernel(NamedTuple):
    """What is launched as one piece of work."""

    name: str
    times: int
    """How often it runs in one run of the program."""
    flops: int
    """Of its matrix products, each time."""
    bytes: int
    """Read and written, each time."""


class _Instruction(NamedTuple):
    """One line of a program's text: `%name = shape opcode(operands), attributes`."""

    name: str
    shapes: list[tuple[str, list[int]]]
    opcode: str
    operands: list[str]
    attributes: str

    @property
    def bytes(self) -> int:
        """Size of the result."""
        return sum(_BYTES.get(dtype, 4) * math.prod(dims) for dtype, dims in self.shapes)

    def called(self, role: str) -> str:
        """Name of the computation that it calls as body, condition, ..."""
        match = re.search(rf"{role}=%([^\s,]+)", self.attributes)
        assert match is not None, f"{self.name} names no {role}"
        return match[1]


_Computation = dict[str, _Instruction]
"""By name, in order; the last one is the result."""


def kernels(text: str) -> list[Kernel]:
    """Return the kernels of an optimised program, as `compiled.as_text()` prints it."""
    program, entry = _parse(text)
    return list(_walk(program, entry, 1))


def total_flops(program: list[Kernel]) -> int:
    """Return the operations of all matrix products."""
    return sum(kernel.times * kernel.flops for kernel in program)


def total_bytes(program: list[Kernel]) -> int:
    """Return what all kernels read and write."""
    return sum(kernel.times * kernel.bytes for kernel in program)


def launches(program: list[Kernel]) -> int:
    """Return how many kernels run."""
    return sum(kernel.times for kernel in program)


def _parse(text: str) -> tuple[dict[str, _Computation], str]:
    program: dict[str, _Computation] = {}
    current: _Computation = {}
    entry = ""
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            current = program[header[2]] = {}
            entry = header[2] if header[1] else entry
        elif match := _INSTRUCTION.match(line):
            name, result, opcode, rest = match.groups()
            operands, _, attributes = rest.partition(")")
            shapes = [
                (dtype, [int(size) for size in dims.split(",") if size])
                for dtype, dims in _ARRAY.findall(result)
            ]
            names = re.findall(r"%([^\s,)]+)", operands)
            current[name] = _Instruction(name, shapes, opcode, names, attributes)
    return program, entry


def _walk(program: dict[str, _Computation], name: str, times: int) -> Iterator[Kernel]:
    """Yield the kernels of one computation that runs `times` times."""
    computation = program[name]
    for instruction in computation.values():
        if instruction.opcode == "while":
            known = _TRIPS.search(instruction.attributes)
            trips = int(known[1]) if known else 1
            yield from _walk(program, instruction.called("body"), times * trips)
        elif instruction.opcode == "call":
            yield from _walk(program, instruction.called("to_apply"), times)
        elif instruction.opcode == "conditional":
            raise NotImplementedError(
                f"{instruction.name}: the text does not say which branch runs"
            )
        elif instruction.opcode not in _FREE:
            flops = _flops(program, computation, instruction)
            moved = _moved(program, computation, instruction)
            yield Kernel(instruction.name, times, flops, moved)


def _flops(
    program: dict[str, _Computation], computation: _Computation, instruction: _Instruction
) -> int:
    if instruction.opcode == "fusion":
        inside = program[instruction.called("calls")]
        return sum(_flops(program, inside, each) for each in inside.values())
    if instruction.opcode != "dot":
        return 0
    contracted = re.search(r"lhs_contracting_dims={([0-9,]*)}", instruction.attributes)
    assert contracted is not None, f"{instruction.name} is no product XLA prints"
    ((_, left),) = computation[instruction.operands[0]].shapes
    ((_, result),) = instruction.shapes
    depth = math.prod(left[int(axis)] for axis in contracted[1].split(",") if axis)
    return 2 * depth * math.prod(result)


def _moved(
    program: dict[str, _Computation], computation: _Computation, instruction: _Instruction
) -> int:
    """Return the bytes read and written; of what is only sliced, the slice counts."""
    operands = [computation[name] for name in instruction.operands]
    if instruction.opcode in _SLICES:
        return 2 * instruction.bytes
    if instruction.opcode == "dynamic-update-slice":
        return 2 * operands[1].bytes
    if instruction.opcode != "fusion":
        return instruction.bytes + sum(operand.bytes for operand in operands)
    inside = program[instruction.called("calls")]
    parameters = [each for each in inside.values() if each.opcode == "parameter"]
    return sum(_read(inside, each) for each in parameters) + _written(inside)


def _read(inside: _Computation, value: _Instruction) -> int:
    """Return what a fusion reads of a parameter."""
    total = 0
    for user in inside.values():
        if value.name not in user.operands:
            continue
        if user.opcode == "bitcast":
            total += _read(inside, user)
        elif user.opcode in _SLICES and user.operands[0] == value.name:
            total += user.bytes
        elif user.opcode == "dynamic-update-slice" and user.operands[0] == value.name:
            continue  # written in place
        else:
            return value.bytes
    return min(total, value.bytes)


def _written(inside: _Computation) -> int:
    """Return what a fusion writes."""
    result = list(inside.values())[-1]
    while result.opcode == "bitcast":
        result = inside[result.operands[0]]
    if result.opcode == "dynamic-update-slice":
        return inside[result.operands[1]].bytes
    return result.bytes
