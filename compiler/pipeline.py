"""The story of a compilation: a tuple of passes, each Graph -> Graph, verified and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from compiler.passes.accumulate_sums import accumulate_sums
from compiler.passes.channels_last import channels_last
from compiler.passes.check_indices import check_indices
from compiler.passes.derive_gradients import derive_gradients
from compiler.passes.drop_removed_bias import drop_removed_bias
from compiler.passes.expand_composites import expand_composites
from compiler.passes.flatten_products import flatten_products
from compiler.passes.fold_constants import fold_constants
from compiler.passes.fold_into_weights import fold_into_weights
from compiler.passes.freeze_weights import freeze_weights
from compiler.passes.keep_histories import keep_histories
from compiler.passes.materialize_results import materialize_results
from compiler.passes.merge_common import merge_common
from compiler.passes.merge_products import merge_products
from compiler.passes.move_out_of_loops import move_out_of_loops
from compiler.passes.narrow_convolutions import narrow_convolutions
from compiler.passes.recognize_normalizations import recognize_normalizations
from compiler.passes.resolve_phase import resolve_phase
from compiler.passes.shift_statistics import shift_statistics
from compiler.passes.simplify import simplify
from compiler.passes.split_wide_concats import split_wide_concats
from compiler.passes.tidy_loops import tidy_loops
from compiler.passes.transpose_products import transpose_products
from compiler.verify import verify
from symgraph.errors import CompileError, SymgraphError
from symgraph.graph import Graph, Node
from symgraph.loops import in_bodies

Pass = Callable[[Graph], Graph]


@dataclass(frozen=True, slots=True)
class Stage:
    """A graph as one pass left it, and the seconds the pass took."""

    name: str
    graph: Graph
    seconds: float


def passes(*, training: bool, frozen: bool) -> tuple[tuple[str, Pass], ...]:
    """The pipeline, in order. A frozen function's weights are constants, folded whatever their size.

    Every pass works on the bodies of loops, too, innermost first; `resolve_phase` and `check_indices`, to
    which a loop is more than a body, see to that themselves.
    """
    freeze = (("freeze_weights", freeze_weights),) if frozen else ()
    fold_weights = (
        (("fold_into_weights", fold_into_weights), ("fold_weights", partial(fold_constants, limit=ANY_SIZE)))
        if frozen
        else ()
    )
    return (
        ("resolve_phase", partial(resolve_phase, training=training)),
        *freeze,
        *_everywhere(
            ("recognize_normalizations", recognize_normalizations),
            ("drop_removed_bias", drop_removed_bias),
            ("derive_gradients", derive_gradients),
            ("expand_composites", expand_composites),
            ("merge_common", merge_common),
            ("tidy_loops", tidy_loops),
            ("fold_constants", fold_constants),
            ("simplify", simplify),
            ("narrow_convolutions", narrow_convolutions),
            ("channels_last", channels_last),
            ("move_out_of_loops", move_out_of_loops),
            ("merge_products", merge_products),
            ("accumulate_sums", accumulate_sums),
            ("tidy_loops_again", tidy_loops),
            ("transpose_products", transpose_products),
            ("flatten_products", flatten_products),
            *fold_weights,
            ("shift_statistics", shift_statistics),
            ("merge_common_again", merge_common),
        ),
        ("check_indices", check_indices),
        *_everywhere(
            ("keep_histories", keep_histories),
            ("split_wide_concats", split_wide_concats),
            ("materialize_results", materialize_results),
        ),
    )


def _everywhere(*named: tuple[str, Pass]) -> tuple[tuple[str, Pass], ...]:
    """Passes that rewrite the bodies of loops before the graph around them."""
    return tuple((name, partial(in_bodies, step, maker=name)) for name, step in named)


ANY_SIZE = 2**40
# What a graph needs to be compiled at all; the others only make it faster or more accurate.
REQUIRED = frozenset(
    {"resolve_phase", "derive_gradients", "expand_composites", "check_indices", "materialize_results"}
)


def run(
    graph: Graph, *, training: bool, frozen: bool = False, skip: frozenset[str] = frozenset()
) -> tuple[Stage, ...]:
    """Every stage of the compilation, the user's graph first. `skip` leaves out optional passes."""
    chosen = passes(training=training, frozen=frozen)
    unknown = skip - {name for name, _ in passes(training=training, frozen=True)}
    if unknown or skip & REQUIRED:
        raise ValueError(f"passes that cannot be left out: {sorted(unknown | skip & REQUIRED)}")
    known: set[Node] = set()
    verify(graph, "the user's program", known)
    stages = [Stage("written", graph, 0.0)]
    for name, step in chosen:
        if name not in skip:
            stages.append(_run_one(name, step, stages[-1].graph, known))
    return tuple(stages)


def _run_one(name: str, step: Pass, graph: Graph, known: set[Node]) -> Stage:
    start = time.perf_counter()
    try:
        made = step(graph)
        verify(made, name, known)
    except SymgraphError:
        raise
    except Exception as error:
        raise CompileError(f"pass {name} failed: {error}") from error
    return Stage(name, made, time.perf_counter() - start)
