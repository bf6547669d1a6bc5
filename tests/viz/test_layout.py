"""The layout of our own: nothing overlaps, every edge is drawn, any size and shape of graph."""

import itertools
import random

import networkx
import numpy as np
import pytest

from symgraph.viz.layout.arrange import arrange
from symgraph.viz.layout.cluster import strong_components
from symgraph.viz.layout.order import Ladder, crossings, reduce_crossings
from symgraph.viz.layout.place import isotonic
from symgraph.viz.layout.tracks import CLEARANCE, Channel
from symgraph.viz.picture import Box, Edge, Lane, Picture, Role

ROLES = {Lane.FORWARD: Role.FORWARD, Lane.BACKWARD: Role.BACKWARD, Lane.UPDATE: Role.UPDATE}


def random_picture(seed, size, *, lanes=1, clusters=0, reach=20):
    """Edges go from lower to higher boxes; lanes never decrease along them, as in pictures of graphs."""
    rng = random.Random(seed)
    lane_of = sorted(rng.randrange(lanes) for _ in range(size))
    boxes, edges = [], []
    for i in range(size):
        lane = list(Lane)[lane_of[i]]
        cluster = rng.randrange(clusters) if clusters and rng.random() < 0.6 else None
        words = tuple("word" * rng.randint(1, 6) for _ in range(rng.randint(1, 3)))
        boxes.append(Box(role=ROLES[lane], lines=words, lane=lane, cluster=cluster))
        for source in {rng.randrange(max(0, i - reach), i) for _ in range(rng.randint(0, 3)) if i}:
            edges.append(Edge(source, i, "f32[batch, 64]"))
    titles = tuple(f"cluster {i}" for i in range(clusters))
    return Picture(title="", boxes=tuple(boxes), edges=tuple(edges), clusters=titles)


def overlap(a, b):
    return (
        a.x + 0.01 < b.x + b.width and b.x + 0.01 < a.x + a.width
        and a.y + 0.01 < b.y + b.height and b.y + 0.01 < a.y + a.height
    )  # fmt: skip


def inside(inner, outer):
    return (
        inner.x >= outer.x and inner.x + inner.width <= outer.x + outer.width
        and inner.y >= outer.y and inner.y + inner.height <= outer.y + outer.height
    )  # fmt: skip


def touches(point, place):
    """On the upper or lower side of a box; lines into a box may end at the references that stand on it."""
    x, y = point
    across = place.x - 0.01 <= x <= place.x + place.width + 0.01
    return across and min(abs(y - place.y), abs(y - place.y - place.height)) < 50


def check(picture):
    layout = arrange(picture)
    for a, b in itertools.combinations(layout.boxes, 2):
        assert not overlap(a, b)
    for a, b in itertools.combinations([f.place for f in layout.frames], 2):
        assert not overlap(a, b)
    for frame in layout.frames:
        members = [i for i, b in enumerate(picture.boxes) if b.cluster == frame.number]
        assert any(inside(layout.boxes[i], frame.place) for i in members)
        for i, place in enumerate(layout.boxes):
            assert i in members or not overlap(place, frame.place)
    for line in layout.lines:
        edge = picture.edges[line.edge]
        assert touches(line.pieces[0].points[0], layout.boxes[edge.source])
        assert touches(line.pieces[-1].points[-1], layout.boxes[edge.target])
        for before, after in itertools.pairwise(line.pieces):
            assert before.points[-1] == pytest.approx(after.points[0], abs=0.01)
    for place in (*layout.boxes, *(t.place for t in layout.tags)):
        assert inside(place, type(place)(-0.1, -0.1, layout.width + 0.2, layout.height + 0.2))
    return layout


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_random_pictures(seed, lanes):
    picture = random_picture(seed, 60, lanes=lanes)
    layout = check(picture)
    hidden = len(picture.edges) - len(layout.lines)
    assert hidden == 0 or layout.tags


@pytest.mark.parametrize("seed", range(8))
def test_random_pictures_with_clusters(seed):
    check(random_picture(seed, 50, lanes=1 + seed % 3, clusters=5, reach=8))


def test_every_edge_is_a_line_or_a_reference():
    picture = random_picture(1, 400, reach=300)
    layout = check(picture)
    drawn = {line.edge for line in layout.lines}
    targets = {picture.edges[e].target for e in range(len(picture.edges)) if e not in drawn}
    tagged = sum(1 + max(tag.more - 1, 0) for tag in layout.tags)
    assert tagged == len(picture.edges) - len(drawn) >= len(targets)


def chain(count, role=Role.FORWARD):
    boxes = tuple(Box(role=role, lines=("tanh",)) for _ in range(count))
    return Picture(title="", boxes=boxes, edges=tuple(Edge(i, i + 1) for i in range(count - 1)))


def test_a_chain_is_straight():
    layout = arrange(chain(12))
    assert len({round(b.x, 3) for b in layout.boxes}) == 1


def test_a_deep_chain_is_cut_into_columns():
    layout = arrange(chain(1000))
    assert 0.5 < layout.width / layout.height < 3
    assert len(layout.lines) == 999


def test_forward_runs_down_and_backward_up():
    lanes = [Lane.FORWARD] * 4 + [Lane.BACKWARD] * 4
    boxes = tuple(Box(role=ROLES[lane], lines=("op",), lane=lane) for lane in lanes)
    edges = [Edge(i, i + 1) for i in range(7)] + [Edge(2, 5), Edge(1, 6), Edge(0, 7)]
    places = arrange(Picture(title="", boxes=boxes, edges=tuple(edges))).boxes
    heights = [p.y for p in places]
    assert heights[:4] == sorted(heights[:4])
    assert heights[4:] == sorted(heights[4:], reverse=True)
    assert max(p.x for p in places[:4]) < min(p.x for p in places[4:])
    for forward, backward in ((3, 4), (2, 5), (1, 6), (0, 7)):
        assert heights[forward] == heights[backward]


def test_wide_and_empty_pictures():
    boxes = tuple(Box(role=Role.INPUT, lines=(f"x{i}",)) for i in range(3000))
    assert len(arrange(Picture(title="", boxes=boxes, edges=())).boxes) == 3000
    assert arrange(Picture(title="", boxes=(), edges=())).boxes == ()


def test_ten_thousand_boxes():
    picture = random_picture(5, 10_000, lanes=3)
    assert len(arrange(picture).boxes) == 10_000


@pytest.mark.parametrize("seed", range(20))
def test_isotonic_is_the_least_squares_fit(seed):
    """Against the min-max formula of isotonic regression, in float64."""
    rng = np.random.default_rng(seed)
    y, w = rng.standard_normal(12), rng.uniform(0.1, 5, 12)

    def mean(i, j):
        return np.average(y[i : j + 1], weights=w[i : j + 1])

    oracle = [max(min(mean(i, j) for j in range(k, 12)) for i in range(k + 1)) for k in range(12)]
    assert isotonic(list(y), list(w)) == pytest.approx(oracle)


@pytest.mark.parametrize("seed", range(20))
def test_crossings_against_all_pairs(seed):
    rng = random.Random(seed)
    ladder = Ladder(2)
    for slot in range(12):
        ladder.add(slot, slot // 6)
    pairs = {(rng.randrange(6), 6 + rng.randrange(6)) for _ in range(14)}
    for a, b in sorted(pairs):
        ladder.join(a, b)
    oracle = sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(sorted(pairs), 2))
    assert crossings(ladder) == oracle
    reduce_crossings(ladder)
    assert crossings(ladder) <= oracle
    assert [sorted(row) for row in ladder.rows] == [list(range(6)), list(range(6, 12))]


@pytest.mark.parametrize("seed", range(20))
def test_strong_components_against_networkx(seed):
    graph = networkx.gnp_random_graph(40, 0.05, seed=seed, directed=True)
    found = strong_components([sorted(graph.successors(n)) for n in range(40)])
    oracle = networkx.strongly_connected_components(graph)
    assert {frozenset(c) for c in found} == {frozenset(c) for c in oracle}


def test_tracks_do_not_overlap():
    rng = random.Random(0)
    channel = Channel()
    for owner in range(200):
        start = rng.uniform(0, 1000)
        channel.add(owner, start, start + rng.uniform(0, 100))
    tracks, count = channel.assign()
    assert set(tracks.values()) == set(range(count))
    for a, b in itertools.combinations(range(200), 2):
        if tracks[a] == tracks[b]:
            (low, high), (other_low, other_high) = channel.ends[a], channel.ends[b]
            assert high + CLEARANCE <= other_low or other_high + CLEARANCE <= low
