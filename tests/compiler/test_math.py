"""The functions of the loop IR, compiled, against wider arithmetic: ULP bounds, special values, structure."""

import numpy as np
import pytest
from kernel_runner import Native, module_text

from compiler.llvm.engine import Library
from compiler.llvm.object import compile_module
from compiler.llvm.target import Target
from compiler.loop import scalar
from compiler.loop.grammar import (
    CALLS,
    Binary,
    Buffer,
    Call,
    Const,
    Expr,
    For,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Store,
    Unary,
    call,
    constant,
)
from compiler.loop.interpreter import interpret
from compiler.loop.math import BODIES, expand_math
from compiler.loop.printer import text
from compiler.loop.walk import dtype_of, expressions, operands, postorder, statements
from symgraph.dimension import Dim
from symgraph.errors import CompileError
from symgraph.types import FLOATS, DType, float32, float64, int32, int64

N = Dim.named("n")
i = Index("i")
WIDER = {float32: float64, float64: np.dtype(np.longdouble)}
UNSIGNED = {float32: np.dtype(np.uint32), float64: np.dtype(np.uint64)}
INF, NAN = float("inf"), float("nan")
UNARY = sorted(set(BODIES) - {"pow"})
TURN_LIMIT = 1e9  # sin and cos of float64 are tested up to here

needs_wide = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= np.finfo(np.float64).nmant, reason="no type wider than float64 here"
)


def sigmoid(x: np.ndarray) -> np.ndarray:
    decay = np.exp(-np.abs(x))
    return np.where(x < 0, decay, 1) / (1 + decay)


def erf(x: np.ndarray) -> np.ndarray:
    """exp(-x^2) times a series of positive terms, Abramowitz and Stegun 7.1.6; ends at 6.5, where it is 1."""
    x = np.asarray(x)
    size = np.minimum(np.abs(x), 6.5)
    term, total = size.copy(), size.copy()
    for n in range(1, 160):
        term = term * (2 * size * size) / (2 * n + 1)
        total = total + term
    scale = 2 / np.sqrt(4 * np.arctan(np.ones((), x.dtype)))
    return np.copysign(total * np.exp(-size * size) * scale, x)


REFERENCES = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh,
    "sigmoid": sigmoid, "erf": erf, "sin": np.sin, "cos": np.cos, "rsqrt": lambda x: 1 / np.sqrt(x),
    "pow": np.power,
}  # fmt: skip
# Largest error in ULP found over all 2^32 floats is below each of these in float32.
BOUNDS = {
    float32: {"exp": 1.0, "expm1": 1.5, "log": 1.0, "log1p": 1.5, "tanh": 1.3, "sigmoid": 1.9,
              "erf": 1.3, "sin": 0.51, "cos": 0.51, "rsqrt": 1.5},
    float64: {"exp": 1.2, "expm1": 2.0, "log": 1.2, "log1p": 2.0, "tanh": 1.7, "sigmoid": 2.0,
              "erf": 1.7, "sin": 1.2, "cos": 1.2, "rsqrt": 1.5},
}  # fmt: skip


def kernel_of(function: str, dtype: DType) -> Kernel:
    count = 2 if function == "pow" else 1
    *inputs, output = (Buffer(f"b{n}", dtype, (N,)) for n in range(count + 1))
    value = Call(function, tuple(Load(b, (i,)) for b in inputs))
    body = For("i", Const(0, int64), Index("n"), (Store(output, (i,), value),), mode="vector")
    return Kernel("k", (*inputs, output), ("n",), (body,))


@pytest.fixture(scope="module")
def natives() -> dict[tuple[str, DType], Native]:
    return {(f, dtype): Native(expand_math(kernel_of(f, dtype))) for f in BODIES for dtype in FLOATS}


def run(natives, function: str, *arguments: np.ndarray) -> np.ndarray:
    result = np.empty_like(arguments[0])
    natives[function, result.dtype](*arguments, result, extents={"n": len(result)})
    return result


def samples(function: str, dtype: DType, count: int) -> np.ndarray:
    """Bit patterns of every exponent and, where each function does something, uniform numbers."""
    rng = np.random.default_rng(len(function))
    patterns = rng.integers(0, np.iinfo(UNSIGNED[dtype]).max, count, UNSIGNED[dtype], endpoint=True)
    ranges = [(-1, 1), (-4, 4), (-20, 20), (-105, 90), (-750, 712)]
    uniform = [rng.uniform(low, high, count // 8).astype(dtype) for low, high in ranges]
    near_one = 1 + rng.uniform(-0.01, 0.01, count // 8).astype(dtype)
    x = np.concatenate([patterns.view(dtype), *uniform, near_one])
    if dtype == float64 and function in ("sin", "cos"):
        x = x[np.isfinite(x)]
        x = np.where(np.abs(x) < TURN_LIMIT, x, np.fmod(x, TURN_LIMIT))
        near_zeros = np.round(rng.uniform(0, TURN_LIMIT, count // 8)) * (np.pi / 2)
        x = np.concatenate([x, near_zeros])
    return x


def ulp_errors(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """In units of the last place of the rounded reference; infinite where the kind or sign is wrong."""
    rounded = want.astype(got.dtype)
    finite = np.isfinite(rounded)
    spacing = np.spacing(np.abs(np.where(finite, rounded, 1))).astype(want.dtype)
    errors = np.where(finite, np.abs(got.astype(want.dtype) - want) / spacing, 0)
    same_sign = np.isnan(rounded) | (np.signbit(rounded) == np.signbit(got))
    same_kind = np.where(finite, np.isfinite(got), (got == rounded) | (np.isnan(got) & np.isnan(rounded)))
    return np.where(same_kind & same_sign, errors, np.inf)


def worst(function: str, x: np.ndarray, got: np.ndarray) -> tuple[float, float]:
    with np.errstate(all="ignore"):
        errors = ulp_errors(got, REFERENCES[function](x.astype(WIDER[x.dtype])))
    at = int(np.argmax(errors))
    return float(errors[at]), float(x[at])


@pytest.mark.parametrize("function", UNARY)
def test_float32_error(natives, function):
    x = samples(function, float32, 2**20)
    if function == "erf":  # its reference is slow
        x = np.ascontiguousarray(x[::4])
    error, at = worst(function, x, run(natives, function, x))
    assert error <= BOUNDS[float32][function], f"{error} ULP at {at!r}"


@needs_wide
@pytest.mark.parametrize("function", UNARY)
def test_float64_error(natives, function):
    x = samples(function, float64, 2**14 if function == "erf" else 2**16)
    error, at = worst(function, x, run(natives, function, x))
    assert error <= BOUNDS[float64][function], f"{error} ULP at {at!r}"


@pytest.mark.parametrize("function", UNARY)
def test_float32_at_each_exponent(natives, function):
    fractions = np.random.default_rng(3).integers(0, 2**23, (2, 254, 200), np.uint32)
    fractions[:, :, :4] = [0, 1, 2**22, 2**23 - 1]
    exponents = np.arange(254, dtype=np.uint32)[None, :, None] << 23
    signs = np.array([0, 2**31], np.uint32)[:, None, None]
    x = (fractions | exponents | signs).ravel().view(np.float32)
    error, at = worst(function, x, run(natives, function, x))
    assert error <= BOUNDS[float32][function], f"{error} ULP at {at!r}"


SPECIALS = {
    "exp": [(INF, INF), (-INF, 0.0), (0.0, 1.0), (-0.0, 1.0)],
    "expm1": [(INF, INF), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (-1e4, -1.0)],
    "log": [(INF, INF), (-INF, NAN), (0.0, -INF), (-0.0, -INF), (1.0, 0.0), (-1.0, NAN), (-1e-40, NAN)],
    "log1p": [(INF, INF), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-1.5, NAN)],
    "tanh": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (30.0, 1.0)],
    "sigmoid": [(INF, 1.0), (-INF, 0.0), (0.0, 0.5), (-0.0, 0.5), (-1e4, 0.0)],
    "erf": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (7.0, 1.0)],
    "sin": [(INF, NAN), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0)],
    "cos": [(INF, NAN), (-INF, NAN), (0.0, 1.0), (-0.0, 1.0)],
    "rsqrt": [(INF, 0.0), (-INF, NAN), (0.0, INF), (-0.0, -INF), (-1.0, NAN), (4.0, 0.5)],
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", UNARY)
def test_special_values(natives, function, dtype):
    table = np.array([*SPECIALS[function], (NAN, NAN), (-NAN, NAN)], dtype)
    got = run(natives, function, np.ascontiguousarray(table[:, 0]))
    np.testing.assert_array_equal(got, table[:, 1])
    number = ~np.isnan(got)
    np.testing.assert_array_equal(np.signbit(got)[number], np.signbit(table[number, 1]))


@pytest.mark.parametrize(("dtype", "largest", "smallest"), [
    (float32, 88.72283172607422, -103.97207641601562),
    (float64, 709.782712893384, -745.1332191019411),
])  # fmt: skip
def test_exp_reaches_both_ends(natives, dtype, largest, smallest):
    ends = np.array([largest, smallest], dtype)
    beyond = np.nextafter(ends, np.array([np.inf, -np.inf], dtype))
    got = run(natives, "exp", np.concatenate([ends, beyond]))
    assert np.isfinite(got[0]) and got[0] > np.finfo(dtype).max * 0.9999
    assert got[1] == np.nextafter(dtype.type(0), dtype.type(1))
    assert got[2] == np.inf and got[3] == 0


def test_pow_special_values_are_those_of_c(natives):
    values = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 2.5, 1e30, -1e30, INF, -INF, NAN]
    for dtype in FLOATS:
        x, y = (grid.ravel() for grid in np.meshgrid(np.array(values, dtype), np.array(values, dtype)))
        with np.errstate(all="ignore"):
            want = np.power(x.astype(WIDER[dtype]), y.astype(WIDER[dtype]))
            assert ulp_errors(run(natives, "pow", x, y), want).max() <= 2


@needs_wide
@pytest.mark.parametrize(("dtype", "largest"), [(float32, 2.0**-24), (float64, 4e-14)])
def test_pow_relative_error(natives, dtype, largest):
    rng = np.random.default_rng(5)
    reach = 80 if dtype == float32 else 690
    x = np.exp(rng.uniform(-5, 5, 2**18)).astype(dtype)
    x[::4] = 1 + rng.uniform(-1e-3, 1e-3, len(x[::4])).astype(dtype)
    y = (rng.uniform(-reach, reach, len(x)) / np.maximum(np.abs(np.log(x)), 1e-6)).astype(dtype)
    want = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
    got = run(natives, "pow", x, y).astype(np.longdouble)
    assert np.max(np.abs(got - want) / want) <= largest * (1 + 1e-6)


def test_pow_of_whole_exponents_keeps_the_sign(natives):
    x = -np.exp(np.random.default_rng(6).uniform(-2, 2, 1000)).astype(np.float32)
    for exponent in (1, 2, 3, -1, -2, 7):
        y = np.full_like(x, exponent)
        want = np.power(x.astype(np.float64), exponent)
        assert ulp_errors(run(natives, "pow", x, y), want).max() <= 0.51


def test_float32_angles_next_to_multiples_of_a_quarter_turn(natives):
    """The float32 numbers closest to a multiple of pi/2, and others that cancel 30 bits."""
    x = np.array([16367173.0 * 2.0**72, 43998769152.0, 1.5707964, 3.1415927, 4.712389], np.float32)
    x = np.concatenate([x, -x])
    for function in ("sin", "cos"):
        error, at = worst(function, x, run(natives, function, x))
        assert error <= BOUNDS[float32][function], f"{error} ULP at {at!r}"


def test_float64_angles_beyond_the_reduction_are_nan_not_wrong(natives):
    x = np.array([2.0**48, -(2.0**48), 1e15, -1e300])
    for function in ("sin", "cos"):
        got = run(natives, function, x)
        np.testing.assert_allclose(got[:2], REFERENCES[function](x[:2]), rtol=1e-14)
        assert np.isnan(got[2:]).all()


def evaluate(root: Expr, names: dict[str, np.ndarray]) -> np.ndarray:
    """A body's value for whole arrays, by numpy."""
    values: dict[int, np.ndarray] = {}
    for expr in postorder((root,)):
        if isinstance(expr, Const):
            value = expr.dtype.type(expr.value)
        elif isinstance(expr, Local):
            value = names[expr.name]
        else:
            value = scalar.apply(expr, [values[id(x)] for x in operands(expr)])
        values[id(expr)] = np.asarray(value)
    return values[id(root)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", sorted(BODIES))
def test_native_code_computes_what_the_body_says(natives, function, dtype):
    x = samples(function, dtype, 2**12)
    arguments = (x, np.roll(x, 1)) if function == "pow" else (x,)
    names = dict(zip("xy", arguments, strict=False))
    with np.errstate(all="ignore"):
        body = evaluate(BODIES[function](*(Local(name, dtype) for name in names)), names)
    # numpy has no fma: in float64 the one here may err by an ULP where its parts underflow.
    got = run(natives, function, *arguments)
    np.testing.assert_allclose(got, body, rtol=0 if dtype == float32 else 2.0**-52, atol=0)


def test_interpreter_agrees_with_bodies_through_expansion():
    x = np.array([-3.0, -0.5, 0.0, 0.25, 2.0], np.float32)
    for function in UNARY:
        plain, expanded = np.zeros((2, 5), np.float32)
        kernel = kernel_of(function, float32)
        interpret(kernel, [x, plain], [5])
        interpret(expand_math(kernel), [x, expanded], [5])
        np.testing.assert_allclose(expanded, plain, rtol=3e-7)


def test_every_function_has_a_body_and_no_other_name_is_accepted():
    assert set(BODIES) == CALLS - {"fma"}
    kernel = Kernel("k", (), (), (Let("r", call("gamma", constant(1.0, float32))),))
    with pytest.raises(CompileError, match="function 'gamma' has no body; there are exp, expm1"):
        expand_math(kernel)


def test_kernels_without_calls_stay_as_they_are():
    kernel = Kernel("k", (), (), (Let("r", call("fma", *[constant(1.0, float32)] * 3)),))
    assert expand_math(kernel) is kernel


def test_only_fma_is_left_and_names_are_new():
    x = Buffer("x", float32, (N,))
    value = call("tanh", Load(x, (i,)) + call("exp", Load(x, (i,)))) * Local("exp0", float32)
    body = (Let("exp0", Load(x, (i,))), Store(x, (i,), value), Store(x, (i,), value))
    kernel = Kernel("k", (x,), ("n",), (For("i", Const(0, int64), Index("n"), body),))
    expanded = expand_math(kernel)
    every = [e for s in statements(expanded.body) for e in postorder(expressions(s))]
    assert {e.function for e in every if isinstance(e, Call)} == {"fma"}
    names = [s.name for s in statements(expanded.body) if isinstance(s, Let)]
    assert len(set(names)) == len(names)
    assert text(expand_math(kernel)) == text(expanded)


def test_nested_calls_stay_flat():
    value: Expr = Local("x", float32)
    for _ in range(300):
        value = Binary("add", Call("exp", (value,)), value)
    (let,) = (Let("r", value),)
    expanded = expand_math(Kernel("k", (), (), (Let("x", constant(0.0, float32)), let)))
    depth = max(_depth(s) for s in statements(expanded.body))
    assert depth < 400
    assert len(text(expanded)) < 1_000_000


def test_a_call_of_a_deep_expression_does_not_recurse():
    value: Expr = Unary("bits_as_int", Local("x", float32))
    for _ in range(3_000):
        value = Binary("add", value, constant(1, int32))
    body = (Let("x", constant(0.0, float32)), Let("r", Call("exp", (Unary("bits_as_float", value),))))
    expanded = expand_math(Kernel("k", (), (), body))
    argument = next(s for s in expanded.body if isinstance(s, Let) and s.name.endswith("_x0"))
    assert dtype_of(argument.value) == float32


def _depth(statement) -> int:
    depths: dict[int, int] = {}
    for expr in postorder(expressions(statement)):
        depths[id(expr)] = 1 + max((depths[id(x)] for x in operands(expr)), default=0)
    return max(depths.values(), default=0)


@pytest.mark.parametrize("function", sorted(BODIES))
def test_native_code_calls_no_library(function):
    """The linker is offered nothing but memcpy and its kin."""
    for dtype in FLOATS:
        source, _ = module_text(expand_math(kernel_of(function, dtype)), Target.host())
        Library(compile_module(source, Target.host()), ["k"])
