"""Pass: cut the graph into clusters, each of which becomes one kernel.

Legality comes from structure alone: one domain, operands read at the reader's own position, and
reductions over one set of axes whose results are used again inside. So batch, layer, group, instance
and RMS norm, softmax and cross entropy, forward and backward, are fused by the same few rules.
"""

from __future__ import annotations

from collections import deque

from compiler.clusters import Cluster, Form, Plan, leaves_behind
from compiler.passes.fit import LARGEST_CLUSTER, Fitter, seed_cluster
from compiler.passes.order import order_clusters
from compiler.passes.precedence import Precedence
from compiler.passes.recompute import recompute_cheap
from compiler.views import is_view
from symgraph.graph import Graph, Node
from symgraph.loops import loops_of
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


# Clusters that read one value, of those made last, that another such cluster may be merged with.
MOST_PARTNERS = 32


class Partition:
    """Clusters so far, what each reads, and which must run before which."""

    def __init__(self, graph: Graph):
        self.fitter = Fitter(graph)
        self.clusters: list[Cluster] = []
        self.home: dict[Node, int] = {}
        self.precedence = Precedence()
        self.reads: list[dict[Node, None]] = []  # leaves outside, in order of first use
        self.loops = {node: loop.results[0] for loop in loops_of(graph.nodes) for node in loop.results}

    def place(self, node: Node, merge: bool) -> None:
        """Put a node into the latest cluster among its operands' that may take it, else into a new one."""
        first = self.loops.get(node, node)
        if first in self.home:  # another result of a loop that is there already
            self.home[node] = self.home[first]
            self.clusters[self.home[first]].nodes.append(node)
            return
        leaves = [leaf for operand in node.inputs for leaf in leaves_behind(operand)]
        homes = {self.home[leaf] for leaf in leaves if leaf in self.home}
        chosen, refused = None, []
        for candidate in sorted(homes, key=self._preference) if merge else ():
            cluster = self.clusters[candidate]
            if not self._acyclic(candidate, homes):
                refused.append((cluster, True))
            elif self.fitter.join(cluster, node):
                chosen = candidate
                break
            else:
                refused.append((cluster, False))
        if chosen is None:
            chosen = self._open(seed_cluster(node))
            self.clusters[chosen].refused = refused
        self.home[node] = chosen
        self.reads[chosen].update(dict.fromkeys(leaf for leaf in leaves if self.home.get(leaf) != chosen))
        for other in sorted(homes - {chosen}):
            self.precedence.link(other, chosen)

    def _preference(self, number: int) -> tuple[bool, int]:
        """Clusters with statistics or a product first: what they feed should ride along; then the latest."""
        cluster = self.clusters[number]
        return (cluster.form is Form.LOOP and not cluster.reductions, -number)

    def _open(self, cluster: Cluster) -> int:
        self.clusters.append(cluster)
        self.reads.append({})
        return self.precedence.add()

    def _acyclic(self, candidate: int, homes: set[int]) -> bool:
        return not any(self.precedence.depends(h, candidate) for h in homes if h != candidate)

    def merge_siblings(self) -> None:
        """Join clusters over one domain that read the same large value, or one of which reads the other."""
        by_leaf: dict[Node, deque[int]] = {}
        for number, cluster in enumerate(self.clusters):
            if cluster.form is not Form.LOOP:
                continue
            for partner in self._partners(number, by_leaf):
                if self._merge(partner, number):
                    number = partner
                    break
            for leaf in self.reads[number]:
                by_leaf.setdefault(leaf, deque(maxlen=MOST_PARTNERS)).append(number)

    def _partners(self, number: int, by_leaf: dict[Node, deque[int]]) -> list[int]:
        """Loop clusters over the same domain, with room for this one."""
        own = self.clusters[number]
        found: dict[int, None] = {}
        for leaf in self.reads[number]:
            if leaf in self.home:
                found[self.home[leaf]] = None
            if leaf.type.rank and leaf.type.size != 1:
                found.update(dict.fromkeys(by_leaf.get(leaf, ())))
        return sorted(f for f in found if f != number and self._has_room(self.clusters[f], own))

    def _has_room(self, cluster: Cluster, other: Cluster) -> bool:
        if not cluster.nodes or len(cluster.nodes) + len(other.nodes) > LARGEST_CLUSTER:
            return False
        return cluster.form is Form.LOOP and cluster.domain == other.domain

    def _merge(self, first: int, second: int) -> bool:
        """Put all of `second` into `first`, if no third cluster lies between and everything fits."""
        a, b = min(first, second), max(first, second)
        if self.precedence.has_between(a, b) or self.precedence.has_between(b, a):
            return False
        if self.precedence.depends(a, b):
            a, b = b, a
        trial = self.fitter.joined([*self.clusters[a].nodes, *self.clusters[b].nodes])
        if trial is None:
            return False
        self.clusters[first] = trial
        self._absorb(first, second)
        return True

    def _absorb(self, first: int, second: int) -> None:
        for node in self.clusters[second].nodes:
            self.home[node] = first
        self.clusters[second] = Cluster(Form.LOOP, ())
        reads = {**self.reads[first], **self.reads[second]}
        self.reads[first] = {leaf: None for leaf in reads if self.home.get(leaf) != first}
        self.precedence.merge(first, second)
