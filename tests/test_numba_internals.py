"""Numba's insides are as `numba_internals` says: one thing a test.

Whoever wants to know what a new release of Numba breaks runs this first.
"""

import operator
import pickle
import re
import runpy

import numba
import numpy as np
import pytest
from conftest import REPOSITORY
from llvmlite import ir
from numba import types

from sklearn_lsdn._network.kernels import numba_internals
from sklearn_lsdn._network.kernels.compilation import kernel, part
from sklearn_lsdn._network.kernels.numba_internals import (
    Elements,
    array_value,
    before_compiling,
    call_c,
    counting_loop,
    define_operator,
    depend_on,
    intrinsic,
    unpacked,
    value_type,
    variable,
)
from sklearn_lsdn._network.kernels.operands import Samples


@intrinsic
def twice(typingctx, x):
    def codegen(context, builder, signature, args):
        return builder.add(args[0], args[0])

    return x(x), codegen


def test_intrinsic():
    assert kernel(lambda x: twice(x) + 1)(20) == 41


@part(types.int64)
def cube(x):
    return x * x * x


def test_call_part_compiles_into_the_kernel():
    compiled = numba.njit(lambda x, y: cube(x) + cube(y))
    assert compiled(2, 3) == 35
    (code,) = compiled.inspect_llvm().values()
    assert not re.search("(call|define) .*cube", code)  # inlined, and vanished


def test_call_part_has_the_options_of_the_kernel():
    @part(types.float64)
    def inverse(x):
        return 1.0 / x

    assert kernel(lambda x: inverse(x))(0.0) == np.inf  # not ZeroDivisionError


@intrinsic
def facts(typingctx, array):
    """Rows, columns, bytes between rows and between columns, and (1, 1)."""

    def codegen(context, builder, signature, args):
        elements = Elements(context, builder, signature.args[0], args[0])
        one = ir.IntType(64)(1)
        value = builder.load(elements.at(one, one))
        there = elements.moved(elements.at(one, one), elements.strides[1])
        numbers = [*elements.shape, *elements.strides, value, builder.load(there)]
        assert elements.itemsize == 8
        return context.make_tuple(builder, signature.return_type, numbers)

    return types.UniTuple(types.int64, 6)(array), codegen


@pytest.mark.parametrize("layout", ["C", "F", "A"])
def test_elements(layout):
    array = {
        "C": np.arange(12).reshape(3, 4),
        "F": np.arange(12).reshape(4, 3).T,
        "A": np.arange(24).reshape(3, 8)[:, ::2],
    }[layout]
    assert numba.typeof(array).layout == layout
    expected = *array.shape, *array.strides, array[1, 1], array[1, 2]
    assert kernel(lambda array: facts(array))(array) == expected


@intrinsic
def first_of_rows(typingctx, array):
    out = types.Array(array.dtype, 1, "A")

    def codegen(context, builder, signature, args):
        elements = Elements(context, builder, signature.args[0], args[0])
        zero = ir.IntType(64)(0)
        return array_value(
            context,
            builder,
            out,
            elements.at(zero, zero),
            elements.shape[:1],
            elements.strides[:1],
        )

    return out(array), codegen


def test_array_value():
    def sum_of_firsts(array):
        firsts = first_of_rows(array)
        for i in range(len(firsts)):
            firsts[i] += 1
        return firsts.sum()

    array = np.arange(12).reshape(3, 4)
    assert kernel(sum_of_firsts)(array) == 0 + 4 + 8 + 3
    assert array[:, 0].tolist() == [1, 5, 9]


@intrinsic
def sum_below(typingctx, ends):
    """0 + 1 + ... below the first of two numbers."""

    def codegen(context, builder, signature, args):
        n, start = unpacked(builder, args[0])
        total = variable(builder, start.type)
        builder.store(start, total)
        with counting_loop(builder, n) as loop:
            builder.store(builder.add(builder.load(total), loop.index), total)
        return builder.load(total)

    return types.int64(ends), codegen


def test_unpacked_variable_and_counting_loop():
    run = kernel(lambda ends: sum_below(ends))
    assert run((5, 100)) == 110
    assert run((0, 7)) == 7


@intrinsic
def random_number(typingctx):
    def codegen(context, builder, signature, args):
        return call_c(builder, "rand")

    return types.int32(), codegen


def test_call_c():
    assert kernel(lambda: random_number())() >= 0


def test_value_type_and_define_operator():
    pair_type = ir.VectorType(ir.IntType(64), 2)
    pair = value_type("Pair", pair_type)

    @intrinsic
    def make_pair(typingctx, a, b):
        def codegen(context, builder, signature, args):
            made = ir.Constant(pair_type, ir.Undefined)
            for i, value in enumerate(args):
                made = builder.insert_element(made, value, ir.IntType(32)(i))
            return made

        return pair(a, b), codegen

    @intrinsic
    def last(typingctx, of):
        def codegen(context, builder, signature, args):
            return builder.extract_element(args[0], ir.IntType(32)(1))

        return types.int64(of), codegen

    define_operator(
        operator.add,
        pair,
        [(pair, pair)],
        lambda context, builder, signature, args: builder.add(*args),
    )

    def lasts(a, b):
        return last(make_pair(a, b) + make_pair(b, a))

    assert kernel(lasts)(3, 4) == 7
    assert kernel(lambda a, b: a + b)(3, 4) == 7  # as before


def test_depend_on(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("import numba\n@numba.njit(cache=True)\ndef f(x):\n    return x\n")

    def hits(stamp):
        f = runpy.run_path(path)["f"]
        depend_on(f, stamp)
        assert f(1) == 1
        return sum(f.stats.cache_hits.values())

    assert [hits("a"), hits("a"), hits("b"), hits("b")] == [0, 1, 0, 1]


def test_before_compiling():
    told = []
    before_compiling(told.append)

    def f(x):
        return x

    numba.njit(f)(1)
    assert f in told


def test_named_tuples_enter_kernels_and_are_made_there():
    def doubled(samples):
        made = Samples(samples.S, samples.X, samples.T, samples.weight)
        S, X, T, weight = made
        return S[0] + weight[0]

    ones = np.ones(3, dtype=np.float32)
    compiled = kernel(doubled)
    assert compiled(Samples(ones, ones, ones, ones)) == 2
    (arguments,) = compiled.signatures
    assert pickle.loads(pickle.dumps(arguments)) == arguments  # found in a cache


IMPORTED = re.compile(r"^ *(from|import) (numba|llvmlite|\.+\w*numba)", re.MULTILINE)


def test_nothing_else_looks_into_numba():
    """And all that the page lists is there, and is used."""
    folder = REPOSITORY / "sklearn_lsdn"
    used = ""
    for path in folder.rglob("*.py"):
        text = path.read_text()
        if path.name != "numba_internals.py" and re.search(IMPORTED, text):
            assert path.parent.name == "kernels", path
            assert not re.search(r"numba\.(core|np|extending|cpython)\b", text), path
            used += text
    page = re.findall(r"(?<!`)`(\w+)`(?=,| \()", numba_internals.__doc__)
    assert len(page) == 13
    for name in page:
        assert hasattr(numba_internals, name)
        assert re.search(rf"\b{name}\b", used), name
