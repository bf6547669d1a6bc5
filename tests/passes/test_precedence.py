"""The growing order of clusters, against networkx on random acyclic graphs."""

from __future__ import annotations

import random

import networkx
import pytest

from compiler.passes import precedence
from compiler.passes.precedence import Precedence


def linked_at_random(seed: int, count: int = 40) -> tuple[Precedence, networkx.DiGraph]:
    """Links in any order between points that are numbered in any order."""
    rng = random.Random(seed)
    made, graph = Precedence(rng.sample(range(count // 2), count // 2)), networkx.DiGraph()
    graph.add_nodes_from(range(count))
    while len(graph) > len(made._position):
        made.add()
    for _ in range(4 * count):
        a, b = rng.sample(range(count), 2)
        assert made.depends(b, a) == networkx.has_path(graph, a, b)
        if not networkx.has_path(graph, b, a):
            made.link(a, b)
            graph.add_edge(a, b)
    return made, graph


def assert_ordered(made: Precedence, graph: networkx.DiGraph) -> None:
    assert all(made._position[a] < made._position[b] for a, b in graph.edges)


@pytest.mark.parametrize("seed", range(20))
def test_the_order_holds_and_questions_are_answered(seed):
    made, graph = linked_at_random(seed)
    assert_ordered(made, graph)
    for a, b in graph.edges:
        without = graph.copy()
        without.remove_edge(a, b)
        assert made.has_between(a, b) == networkx.has_path(without, a, b)


@pytest.mark.parametrize("seed", range(20))
def test_merging_contracts(seed):
    made, graph = linked_at_random(seed)
    rng = random.Random(seed + 1)
    alive = list(graph)
    for _ in range(60):
        a, b = rng.sample(alive, 2)
        if made.has_between(a, b) or made.has_between(b, a):
            continue
        made.merge(a, b)
        graph = networkx.contracted_nodes(graph, a, b, self_loops=False)
        alive.remove(b)
        assert networkx.is_directed_acyclic_graph(graph)
        assert_ordered(made, graph)
    assert len(alive) < 40
    for a in alive:
        for b in alive:
            assert a == b or made.depends(b, a) == networkx.has_path(graph, a, b)


def test_a_hard_question_is_answered_with_yes(monkeypatch):
    made = Precedence(range(50))
    for point in range(1, 48):
        made.link(point, point + 1)
    assert not made.depends(48, 0)
    monkeypatch.setattr(precedence, "MOST_STEPS", 10)
    assert made.depends(48, 0)


def test_places_between_two_points_never_run_out():
    made = Precedence(range(500))
    for point in range(2, 500):
        made.link(point, 1)  # always right in front of 1, behind all that came there before
    assert sorted(range(500), key=made._position.__getitem__) == [0, *range(2, 500), 1]
