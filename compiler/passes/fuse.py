"""Pass: cut the graph into clusters, each of which becomes one kernel.

Legality comes from structure alone: one domain, operands read at the reader's own position, and
reductions over one set of axes whose results are used again inside. So batch, layer, group, instance
and RMS norm, softmax and cross entropy, forward and backward, are fused by the same few rules.
"""

from __future__ import annotations

from compiler.clusters import Cluster, Form, Plan, leaves_behind
from compiler.passes.fit import Fitter, seed_cluster
from compiler.passes.order import order_clusters
from compiler.passes.recompute import recompute_cheap
from compiler.views import is_view
from symgraph.graph import Graph, Node
from symgraph.op import Kind


def fuse(graph: Graph, *, merge: bool = True) -> Plan:
    """Clusters of the graph in the order they run. `merge=False` makes every node a kernel of its own."""
    partition = Partition(graph)
    for node in graph.nodes:
        if node.op.kind is not Kind.SOURCE and not is_view(node):
            partition.place(node, merge)
    if merge:
        partition.merge_siblings()
    clusters = [c for c in partition.clusters if c.nodes]
    if merge:
        recompute_cheap(graph, clusters)
    return order_clusters(graph, clusters)


class Partition:
    """Clusters so far. Sets of clusters are bit masks in ints: unions of thousands stay cheap."""

    def __init__(self, graph: Graph):
        self.fitter = Fitter(graph)
        self.clusters: list[Cluster] = []
        self.home: dict[Node, int] = {}
        self.direct: list[int] = []  # clusters whose values this one reads
        self.behind: list[int] = []  # all clusters it depends on
        self.reads: list[dict[Node, None]] = []  # leaves outside, in order of first use

    def place(self, node: Node, merge: bool) -> None:
        """Put a node into the latest cluster among its operands' that may take it, else into a new one."""
        leaves = [leaf for operand in node.inputs for leaf in leaves_behind(operand)]
        homes = {self.home[leaf] for leaf in leaves if leaf in self.home}
        chosen = None
        for candidate in sorted(homes, key=self._preference) if merge else ():
            if self._acyclic(candidate, homes) and self.fitter.join(self.clusters[candidate], node):
                chosen = candidate
                break
        if chosen is None:
            chosen = self._open(seed_cluster(node))
        self.home[node] = chosen
        self.reads[chosen].update(dict.fromkeys(leaf for leaf in leaves if self.home.get(leaf) != chosen))
        for other in homes - {chosen}:
            self._depend(chosen, other)

    def _preference(self, number: int) -> tuple[bool, int]:
        """Clusters with statistics or a product first: what they feed should ride along; then the latest."""
        cluster = self.clusters[number]
        return (cluster.form is Form.LOOP and not cluster.reductions, -number)

    def _open(self, cluster: Cluster) -> int:
        self.clusters.append(cluster)
        self.direct.append(0)
        self.behind.append(0)
        self.reads.append({})
        return len(self.clusters) - 1

    def _acyclic(self, candidate: int, homes: set[int]) -> bool:
        return not any(self.behind[h] >> candidate & 1 for h in homes if h != candidate)

    def _depend(self, reader: int, other: int) -> None:
        self.direct[reader] |= 1 << other
        new = self.behind[other] | 1 << other
        if new & ~self.behind[reader]:
            self.behind[reader] |= new
            grown = self.behind[reader]
            for k in range(len(self.behind)):
                if self.behind[k] >> reader & 1:
                    self.behind[k] |= grown

    def merge_siblings(self) -> None:
        """Join clusters over one domain that read the same large value, or one of which reads the other."""
        by_leaf: dict[Node, list[int]] = {}
        for number, cluster in enumerate(self.clusters):
            if cluster.form is not Form.LOOP:
                continue
            for partner in self._partners(number, by_leaf):
                if self._merge(partner, number):
                    number = partner
                    break
            for leaf in self.reads[number]:
                known = by_leaf.setdefault(leaf, [])
                if number not in known:
                    known.append(number)

    def _partners(self, number: int, by_leaf: dict[Node, list[int]]) -> list[int]:
        size = self.clusters[number].domain
        found: dict[int, None] = {}
        for leaf in self.reads[number]:
            if leaf in self.home:
                found[self.home[leaf]] = None
            if leaf.type.rank and leaf.type.size != 1:
                found.update(dict.fromkeys(by_leaf.get(leaf, ())))
        same = [f for f in found if f != number and self.clusters[f].nodes]
        loops = (f for f in same if self.clusters[f].form is Form.LOOP)
        return sorted(f for f in loops if self.clusters[f].domain == size)

    def _merge(self, first: int, second: int) -> bool:
        """Put all of `second` into `first`, if no third cluster lies between and everything fits."""
        a, b = min(first, second), max(first, second)
        if self._lies_between(a, b) or self._lies_between(b, a):
            return False
        order = [*self.clusters[a].nodes, *self.clusters[b].nodes]
        if self.behind[a] >> b & 1:
            order = [*self.clusters[b].nodes, *self.clusters[a].nodes]
        trial = self.fitter.joined(order)
        if trial is None:
            return False
        self.clusters[first] = trial
        self._absorb(first, second)
        return True

    def _lies_between(self, start: int, end: int) -> bool:
        direct = self.direct[end] & ~(1 << start)
        k = 0
        while direct:
            if direct & 1 and self.behind[k] >> start & 1:
                return True
            direct >>= 1
            k += 1
        return False

    def _absorb(self, first: int, second: int) -> None:
        gone, kept = 1 << second, 1 << first
        for node in self.clusters[second].nodes:
            self.home[node] = first
        self.clusters[second] = Cluster(Form.LOOP, ())
        self.reads[first].update(self.reads[second])
        inside = [n for n in self.reads[first] if self.home.get(n) == first]
        for node in inside:
            del self.reads[first][node]
        self.direct[first] = (self.direct[first] | self.direct[second]) & ~(gone | kept)
        self.behind[first] = (self.behind[first] | self.behind[second]) & ~(gone | kept)
        grown = self.behind[first] | kept
        for k in range(len(self.behind)):
            if self.direct[k] & gone:
                self.direct[k] = self.direct[k] & ~gone | kept
            if k != first and self.behind[k] & (gone | kept):
                self.behind[k] = self.behind[k] & ~gone | grown
        self.direct[second] = self.behind[second] = 0
