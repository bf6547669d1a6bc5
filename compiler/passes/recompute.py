"""What is computed again instead of stored: decided by bytes, and only for cheap work."""

from __future__ import annotations

from compiler.clusters import Cluster, Form, leaves_behind, operands_of
from compiler.passes.fit import LARGEST_CLUSTER, normal
from compiler.passes.order import leaves_read, mark_stored
from compiler.views import AxisMap, Reading
from symgraph.graph import Graph, Node
from symgraph.op import Kind

CHEAP = frozenset({
    "add", "subtract", "multiply", "negative", "square", "abs", "relu", "leaky_relu", "maximum", "minimum",
    "clip", "where", "cast", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal",
    "bitwise_and", "bitwise_or", "logical_not", "within", "copy", "sign",
})  # fmt: skip
LONGEST_RECIPE = 8


def recompute_cheap(graph: Graph, clusters: list[Cluster]) -> None:
    """Where users can make a stored value again from one large value they can load, it is not stored.

    Batch norm's backward makes x_hat again from x, the mean and 1/std: a load instead of a store and a load.
    So does a pooling after it: the normalized image is never in memory.
    """
    mark_stored(graph, clusters)
    results = set(graph.results)
    home = {node: cluster for cluster in clusters for node in cluster.nodes}
    stored = {node for cluster in clusters for node in cluster.stored}
    readers: dict[Node, dict[int, Cluster]] = {}  # by identity: comparing clusters compares all they hold
    for cluster in clusters:
        for leaf in leaves_read(cluster):
            readers.setdefault(leaf, {})[id(cluster)] = cluster
    for node in [n for c in clusters for n in c.stored]:
        if node in results or not _is_large(node) or node.op.name not in CHEAP:
            continue
        recipe = _recipe(node, home[node], stored, results)
        if recipe is None or not all(_can_make(c, node, recipe) for c in readers[node].values()):
            continue
        for cluster in readers[node].values():
            if _read_by_windows(cluster, node):
                cluster.inlined.extend(n for n in recipe if n not in cluster.inlined)
            else:
                _prepend(cluster, node, recipe)
        stored.discard(node)
        for member in recipe:
            for operand in member.inputs:
                for leaf in leaves_behind(operand):
                    if leaf not in recipe:
                        stored.add(leaf)
                        readers.setdefault(leaf, {}).update(readers[node])


def _is_large(node: Node) -> bool:
    return node.type.rank >= 1 and node.type.size != 1


def _recipe(node: Node, home: Cluster, stored: set[Node], results: set[Node]) -> list[Node] | None:
    """Nodes to compute again, producers first, reading at most one value as large as the node."""
    if home.form is not Form.LOOP or node.type.shape != home.domain:
        return None
    order = {n: i for i, n in enumerate(home.nodes)}
    recipe = {node}
    large: set[Node] = set()
    stack = [node]
    while stack:
        for operand in stack.pop().inputs:
            for leaf in leaves_behind(operand):
                if leaf in recipe:
                    continue
                inside = leaf in order and leaf not in stored and leaf not in results
                if leaf.type.size != node.type.size:
                    continue  # a statistic: small, so it is stored
                if not inside:
                    large.add(leaf)
                elif leaf.op.name in CHEAP and leaf.type.shape == home.domain:
                    recipe.add(leaf)
                    stack.append(leaf)
                else:
                    return None
    if len(recipe) > LONGEST_RECIPE or len(large) > 1:
        return None
    return sorted(recipe, key=lambda n: order[n])


def _can_make(cluster: Cluster, node: Node, recipe: list[Node]) -> bool:
    """Whether a reader meets the value only at one position of its own: anywhere, or along its statistics."""
    if cluster.form in (Form.SCATTER, Form.SCAN) or len(cluster.nodes) + len(recipe) > LARGEST_CLUSTER:
        return False
    if _read_by_windows(cluster, node):
        read = {leaf for member in recipe for i in member.inputs for leaf in leaves_behind(i)}
        return not any(leaf in cluster.labels for leaf in read)  # those are known at one position only
    return reading_labels(cluster, node) is not None


def _read_by_windows(cluster: Cluster, node: Node) -> bool:
    """Whether only windows that do not overlap read the value: each element is made again once."""
    readers = [m for m in cluster.computed if any(node in leaves_behind(i) for i in m.inputs)]
    return bool(readers) and all(_looks_once(reader) for reader in readers)


def _looks_once(node: Node) -> bool:
    if node.op.kind is not Kind.WINDOW or node.op.body.spreads:
        return False
    return all(size <= step for size, step in zip(node.attrs["size"], node.attrs["stride"], strict=True))


def reading_labels(cluster: Cluster, node: Node) -> AxisMap | None:
    """The axes of the cluster's domain that `node` is read along, if every reader agrees on them."""
    found: AxisMap | None = None
    for member in cluster.nodes:
        for operand, reading in zip(member.inputs, operands_of(member), strict=True):
            if node not in leaves_behind(operand):
                continue
            if member.op.kind not in (Kind.ELEMENTWISE, Kind.REDUCTION) or reading.source is not node:
                return None
            own = cluster.everywhere if member.op.kind is Kind.REDUCTION else cluster.labels[member]
            labels = seen_along(reading, own)
            if labels is None or (found is not None and labels != found):
                return None
            found = labels
    if found is None or (cluster.form is Form.CONTRACTION and node.type.shape != cluster.domain):
        return None
    if _is_whole(cluster, found, node):
        return found
    # One value a row or a column: it is made outside the sweeps, so it cannot run along what they sweep.
    return found if cluster.reductions and not set(found) & set(cluster.swept) else None


def _is_whole(cluster: Cluster, labels: AxisMap, node: Node) -> bool:
    return node.type.shape == cluster.domain and labels == normal(cluster.everywhere, node.type.shape)


def seen_along(reading: Reading, own: AxisMap) -> AxisMap | None:
    """Labels of the source's axes, in terms of a reader's."""
    if reading.axes is None:
        return None
    shape = reading.source.type.shape
    return normal(tuple(None if axis is None else own[axis] for axis in reading.axes), shape)


def _prepend(cluster: Cluster, node: Node, recipe: list[Node]) -> None:
    labels = reading_labels(cluster, node)
    assert labels is not None
    new = [n for n in recipe if n not in cluster.labels]
    # Behind what an earlier recipe has put here for this one to read: before it, it would be read from
    # memory that nobody writes any more.
    read = {leaf for member in new for operand in member.inputs for leaf in leaves_behind(operand)}
    place = 1 + max((i for i, member in enumerate(cluster.nodes) if member in read), default=-1)
    cluster.nodes[place:place] = new
    for member in new:
        cluster.labels[member] = normal(labels, member.type.shape)
