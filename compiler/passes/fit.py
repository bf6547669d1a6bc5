"""Whether a node may join a cluster: the rules of fusion, each one method."""

from __future__ import annotations

from compiler.clusters import Cluster, Form, leaves_behind, operands_of
from compiler.views import AxisMap, Reading, follow
from symgraph.dimension import Extent
from symgraph.graph import Graph, Node
from symgraph.op import Kind
from symgraph.ops.layout import BROADCAST

# One basic block of thousands of operations takes LLVM seconds; several of this size do not.
LARGEST_CLUSTER = 64
MOST_EPILOGUE_READS = 2
FORMS = {Kind.CONTRACTION: Form.CONTRACTION, Kind.SCATTER: Form.SCATTER, Kind.SCAN: Form.SCAN}
READS_APART = (Kind.GATHER, Kind.WINDOW)  # operands are read elsewhere than where they are made
FREE = (Kind.ELEMENTWISE, Kind.RANDOM, *READS_APART)


def refusal(cluster: Cluster, node: Node, circle: bool) -> str:
    """Why a node that a cluster did not take has a kernel of its own, in a few words."""
    if circle:
        return f"with {cluster.title()} it would wait for itself"
    if node.op.kind in FORMS:
        return f"a {node.op.name} starts a kernel"
    if cluster.form is Form.SCAN:
        return "behind a loop"
    if len(cluster.nodes) >= LARGEST_CLUSTER:
        return f"the kernel of {cluster.title()} is full"
    if cluster.form is Form.CONTRACTION:
        return f"not in the epilogue of {cluster.title()}: a reduction, or its value is stored anyway"
    if cluster.form is Form.SCATTER:
        return f"{cluster.title()} is complete only at its end"
    return f"apart from {cluster.title()}: other axes, or read elsewhere than where it is made"


def seed_cluster(node: Node) -> Cluster:
    """A cluster of one node, over the domain it iterates."""
    kind = node.op.kind
    if kind is Kind.REDUCTION:
        domain = node.inputs[0].type.shape
        cluster = Cluster(Form.LOOP, domain)
        labels = tuple(i for i in cluster.everywhere if i not in node.attrs["axes"])
    else:
        form = FORMS.get(kind, Form.LOOP)
        domain = node.inputs[0].type.shape if kind is Kind.SCATTER else node.type.shape
        cluster = Cluster(form, domain)
        labels = tuple(range(node.type.rank))
    cluster.nodes.append(node)
    cluster.labels[node] = normal(labels, node.type.shape)
    return cluster


def normal(labels: AxisMap, shape: tuple[Extent, ...]) -> AxisMap:
    """Axes of size 1 run along nothing."""
    return tuple(None if e == 1 else label for label, e in zip(labels, shape, strict=True))


class Fitter:
    """Joins nodes to clusters of one graph."""

    def __init__(self, graph: Graph):
        self._users = graph.users()
        self._returning = returning_reductions(self._users)

    def join(self, cluster: Cluster, node: Node) -> bool:
        """Add the node if the rules allow it."""
        if len(cluster.nodes) >= LARGEST_CLUSTER:
            return False
        if cluster.form is Form.LOOP:
            fits = self._join_loop(cluster, node)
        elif cluster.form is Form.CONTRACTION:
            fits = not self._belongs_elsewhere(cluster, node) and _join_epilogue(cluster, node)
        else:
            fits = False
        if fits:
            cluster.nodes.append(node)
        return fits

    def joined(self, nodes: list[Node]) -> Cluster | None:
        """One loop cluster of all these nodes, if they fit together."""
        cluster = seed_cluster(nodes[0])
        for node in nodes[1:]:
            inside = any(leaf in cluster.labels for i in node.inputs for leaf in leaves_behind(i))
            added = self.join(cluster, node) if inside else self._join_beside(cluster, node)
            if not added:
                return None
        return cluster

    def _join_beside(self, cluster: Cluster, node: Node) -> bool:
        """Add a node that reads nothing of the cluster but runs over the same domain."""
        alone = seed_cluster(node)
        if alone.domain != cluster.domain or alone.form is not Form.LOOP:
            return False
        if len(cluster.nodes) >= LARGEST_CLUSTER or not _compatible(cluster, node):
            return False
        cluster.nodes.append(node)
        cluster.labels[node] = alone.labels[node]
        return True

    def _join_loop(self, cluster: Cluster, node: Node) -> bool:
        if node.op.kind is Kind.REDUCTION:
            labels = _reduction_labels(cluster, node)
        elif node.op.kind in FREE:
            labels = _free_labels(cluster, node)
        else:
            return False
        if labels is None or not self._statistics_agree(cluster, node) or not _compatible(cluster, node):
            return False
        cluster.labels[node] = labels
        return True

    def _belongs_elsewhere(self, cluster: Cluster, node: Node) -> bool:
        """Work on a value with several users stays out of the epilogue, unless it feeds the next product.

        The value is stored for the others anyway, and so would be each result: a batch norm's backward
        would read three matrices for one. Nor may an epilogue walk many matrices, a tile at a time: Adam
        in one took twice the time of Adam in a loop of its own.
        """
        leaves = [leaf for i in node.inputs for leaf in leaves_behind(i)]
        inside = [leaf for leaf in leaves if leaf in cluster.labels]
        if any(len(self._users[leaf]) > 1 for leaf in inside) and not self._feeds_product(node):
            return True
        operands = [i for member in (*cluster.nodes[1:], node) for i in member.inputs]
        read = {leaf for operand in operands for leaf in leaves_behind(operand)}
        large = [leaf for leaf in read if leaf not in cluster.labels and leaf.type.size == node.type.size]
        return len(large) > MOST_EPILOGUE_READS

    def _feeds_product(self, node: Node) -> bool:
        users = list(self._users[node])
        for user in users:
            if user.op.kind is Kind.LAYOUT:
                users.extend(self._users[user])
        return any(user.op.kind is Kind.CONTRACTION for user in users)

    def _statistics_agree(self, cluster: Cluster, node: Node) -> bool:
        """Reductions whose results are used inside must all run over one set of axes, and come back."""
        axes = cluster.reduced
        for reading in operands_of(node):
            source = reading.source
            if source not in cluster.labels:
                continue
            used = self._statistics_behind(cluster, source)
            if used is None:
                continue
            if used not in self._returning or (axes is not None and used.attrs["axes"] != axes):
                return False
            axes = used.attrs["axes"]
        if axes is not None and not _one_sweep_axes(cluster, axes):
            return False
        cluster.reduced = axes
        return True

    def _statistics_behind(self, cluster: Cluster, node: Node) -> Node | None:
        """A reduction of the cluster that a row's value was made from."""
        while node.op.kind is not Kind.REDUCTION:
            if cluster.covers(node):
                return None
            inside = [r.source for r in operands_of(node) if r.source in cluster.labels]
            if not inside:
                return None
            node = inside[0]
        return node


def _one_sweep_axes(cluster: Cluster, axes: tuple[int, ...]) -> bool:
    last = len(cluster.domain) - 1
    others = [r.attrs["axes"] for r in cluster.reductions if r.attrs["axes"] != axes]
    return not others if last not in axes else all(last not in o for o in others)


def _compatible(cluster: Cluster, node: Node) -> bool:
    """Whether reductions over all these sets of axes can share one sweep of the domain.

    With lanes along the last axis: either one set only, or one that holds the last axis and others,
    kept in accumulators along it, that do not.
    """
    if node.op.kind is not Kind.REDUCTION:
        return True
    last = len(cluster.domain) - 1
    sets = {r.attrs["axes"] for r in cluster.reductions} | {node.attrs["axes"]}
    if len(sets) == 1:
        return True
    with_last = [s for s in sets if last in s]
    if cluster.reduced is not None and last not in cluster.reduced:
        return False
    kept_outer = all(node_axes != tuple(cluster.everywhere) for node_axes in sets)
    return len(with_last) == 1 and kept_outer


def _reduction_labels(cluster: Cluster, node: Node) -> AxisMap | None:
    """A reduction joins where its operand is made, over the whole domain."""
    reading = follow(node.inputs[0])
    if node.inputs[0].type.shape != cluster.domain or not lands(cluster, reading, cluster.everywhere):
        return None
    axes = node.attrs["axes"]
    return normal(tuple(i for i in cluster.everywhere if i not in axes), node.type.shape)


def _free_labels(cluster: Cluster, node: Node) -> AxisMap | None:
    """An elementwise node joins over the whole domain, or along the axes of a statistic it reads."""
    readings = operands_of(node)
    if node.op.kind in READS_APART:
        if any(leaf in cluster.labels for i in node.inputs for leaf in leaves_behind(i)):
            return None
        readings = []
    if node.type.shape == cluster.domain:
        labels: AxisMap | None = cluster.everywhere
    else:
        labels = _labels_of_statistic(cluster, node, readings)
    if labels is None:
        return None
    labels = normal(labels, node.type.shape)
    if not all(_readable(cluster, operand, labels) for operand in node.inputs):
        return None
    return labels


def _labels_of_statistic(cluster: Cluster, node: Node, readings: list[Reading]) -> AxisMap | None:
    found: list[int | None] = [None] * node.type.rank
    known = [e == 1 for e in node.type.shape]
    for reading in readings:
        if reading.source not in cluster.labels or reading.axes is None:
            continue
        for label, axis in zip(cluster.labels[reading.source], reading.axes, strict=True):
            if axis is not None:
                found[axis], known[axis] = label, True
    along = [label for label in found if label is not None]
    # x[:, None] > x[None, :] runs over more than x does, though each of its axes is one of x.
    return tuple(found) if all(known) and len(set(along)) == len(along) else None


def _readable(cluster: Cluster, operand: Node, labels: AxisMap) -> bool:
    """Values of the cluster are read at the reader's own position; values of others from memory, anyhow."""
    inside = [leaf for leaf in leaves_behind(operand) if leaf in cluster.labels]
    return not inside or lands(cluster, follow(operand), labels)


def lands(cluster: Cluster, reading: Reading, labels: AxisMap) -> bool:
    """Whether a reader along `labels` meets a value of the cluster exactly where it is made.

    A value from outside is always met: it is in memory.
    """
    if reading.source not in cluster.labels:
        # Behind a concat there may be values of the cluster, each read somewhere else than it is made.
        return not any(leaf in cluster.labels for leaf in leaves_behind(reading.source))
    if reading.axes is None:
        return False
    theirs = cluster.labels[reading.source]
    shape = reading.source.type.shape
    ours = tuple(None if axis is None else labels[axis] for axis in reading.axes)
    return normal(ours, shape) == normal(theirs, shape)


def _join_epilogue(cluster: Cluster, node: Node) -> bool:
    """Elementwise work on a matrix product happens while its tile is in registers."""
    if node.op.kind is not Kind.ELEMENTWISE or node.type.shape != cluster.domain:
        return False
    labels = normal(cluster.everywhere, node.type.shape)
    if not all(_readable(cluster, operand, labels) for operand in node.inputs):
        return False
    cluster.labels[node] = labels
    return True


def is_reduction(node: Node) -> bool:
    return node.op.kind is Kind.REDUCTION


def returning_reductions(users: dict[Node, list[Node]]) -> frozenset[Node]:
    """Reductions whose result is spread over the reduced axes again: a norm's statistics, softmax's sum.

    The others (a loss, the gradient of a bias) leave their cluster.
    """
    return frozenset(n for n in users if is_reduction(n) and _comes_back(n, users))


def _comes_back(reduction: Node, users: dict[Node, list[Node]], limit: int = 200) -> bool:
    size = reduction.inputs[0].type.size
    seen = {reduction}
    stack = [reduction]
    while stack and len(seen) < limit:
        for user in users[stack.pop()]:
            if user.op is BROADCAST and user.type.size == size:
                return True
            same = user.type.size == reduction.type.size
            if user not in seen and same and user.op.kind in (Kind.ELEMENTWISE, Kind.LAYOUT):
                seen.add(user)
                stack.append(user)
    return False
