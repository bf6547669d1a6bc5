"""The parts of docs/benchmarks.md about the rows: times beside the peers, work, compiling, memory."""

from __future__ import annotations

from symgraph.bench.problems import PROBLEMS
from symgraph.bench.results import OURS, Outcome, Results
from symgraph.bench.roofline import Work, from_dict, work_of
from symgraph.bench.text import NONE, duration, mebibytes, number, table, yes

GOAL_MEAN, GOAL_ROW = 2.0, 1.0
GOAL_COLD, GOAL_CACHED = 1.0, 0.1
DEEP = {"deep100_train": 2.0}  # seconds of compiling, where the goal is another one
GOAL_MEMORY = 0.5
SLOWEST, NOTABLE = 3, 0.05  # how many kernels are named, and from what share of the time


def times(results: Results, threads: int) -> str:
    """One table: each engine's median, the ratio and the goals."""
    peers = results.peers()
    head = ["row", "symgraph", "spread", *peers, "best peer / symgraph", "goal", "met"]
    cells = []
    for row in _rows(results):
        found = results.of(row, threads)
        ours, ratio = found.get(OURS), results.ratio(row, threads)
        goal = PROBLEMS[row].goals[threads > 1]
        met = yes(ours.median <= goal and (ratio or GOAL_ROW) >= GOAL_ROW) if ours else NONE
        cells.append([
            row, duration(ours.median if ours else None), f"{ours.spread:.0%}" if ours else NONE,
            *(duration(found[p].median if p in found else None) for p in peers),
            number(ratio, "x") if ratio else NONE, duration(goal), met,
        ])  # fmt: skip
    return table(head, cells)


def mean(results: Results, threads: int) -> str:
    """The goal as one number, in a sentence."""
    ratios, found = results.ratios(threads), results.geometric_mean(threads)
    if found is None:
        return ""
    below = [row for row, ratio in ratios.items() if ratio < GOAL_ROW]
    left = [row for row in PROBLEMS if row not in ratios]
    return (
        f"**On {_threads(threads)}: geometric mean {number(found, 'x')}** over {len(ratios)} of "
        f"{len(PROBLEMS)} rows (goal: at least {GOAL_MEAN}), "
        f"{f'below {GOAL_ROW}: ' + ', '.join(below) if below else f'no row below {GOAL_ROW}'}"
        f"{'; not in it: ' + ', '.join(left) if left else ''}."
    )


def missing(results: Results) -> str:
    """Who could not run what, once for all numbers of threads."""
    reasons = dict.fromkeys((m.row, m.engine, m.reason) for m in results.missing)
    told = [f"- {engine} in {row}: {reason}" for row, engine, reason in reasons]
    return "\n".join(["Could not be measured:\n", *told]) if told else ""


def notes(results: Results) -> str:
    rows = ((row, PROBLEMS[row]) for row in _rows(results))
    return "\n".join(f"- *{name}*: {row.title}; {row.note}." for name, row in rows)


def roofline(results: Results) -> str:
    """What the machine can do at most."""
    head = ["", "peak"]
    cells = []
    for threads, stored in sorted(results.roofline.items()):
        found = from_dict(stored)
        head = ["", "peak", *(level.name for level in found.levels)]
        rates = (f"{level.bandwidth * 1e-9:.0f} GB/s" for level in found.levels)
        cells.append([_threads(int(threads)), f"{found.flops * 1e-9:.0f} GFLOP/s", *rates])
    return table(head, cells)


def work(results: Results) -> str:
    """Each row's work, and its time against the least time that it could take."""
    head = [
        "row",
        "threads",
        "kernels",
        "MFLOP",
        "MB",
        "GFLOP/s",
        "GB/s",
        "bound",
        "measured",
        "share",
        "bound by",
    ]
    cells = []
    for row in _rows(results):
        for threads in results.threads():
            ours, done = results.of(row, threads).get(OURS), _work(results, row, threads)
            if ours is None or done is None:
                continue
            described = results.described[f"{row} {threads}"]
            cells.append([
                row, str(threads), f"{described['kernels']} in {len(described['launches'])} launches",
                f"{done.flops * 1e-6:.3g}", f"{done.bytes * 1e-6:.3g}",
                f"{done.flops / ours.median * 1e-9:.3g}", f"{done.bytes / ours.median * 1e-9:.3g}",
                duration(done.bound), duration(ours.median), f"{done.bound / ours.median:.0%}",
                "memory" if done.memory_share > 0.5 else "arithmetic",
            ])  # fmt: skip
    return table(head, cells)


def shortfalls(results: Results) -> str:
    """Each row that misses a goal, with why, by bytes and flops."""
    found = []
    for row in _rows(results):
        for threads in results.threads():
            ours, done = results.of(row, threads).get(OURS), _work(results, row, threads)
            if ours is not None and done is not None:
                trouble = _trouble(results, ours)
                found += (
                    [f"- *{row}* on {_threads(threads)}: {trouble}. {_why(results, ours, done)}"]
                    if trouble
                    else []
                )
    return "\n".join(found)


def _trouble(results: Results, ours: Outcome) -> str:
    goal, ratio = PROBLEMS[ours.row].goals[ours.threads > 1], results.ratio(ours.row, ours.threads)
    slow = f"{duration(ours.median)} where {duration(goal)} was the goal" if ours.median > goal else ""
    behind = f"{number(ratio, 'x')} of the best peer's speed" if ratio and ratio < GOAL_ROW else ""
    return ", ".join(part for part in (slow, behind) if part)


def _why(results: Results, ours: Outcome, done: Work) -> str:
    launches = results.described[f"{ours.row} {ours.threads}"]["launches"]
    line = from_dict(results.roofline[str(ours.threads)])
    within = results.described[f"{ours.row} {ours.threads}"]["working_set"]
    kernels = (
        f"{k['title']} ({duration(k['seconds'])}, "
        f"{line.seconds(k['flops'], k['bytes'], within) / k['seconds']:.0%} of the roofline)"
        for k in launches[:SLOWEST] if k["seconds"] > NOTABLE * ours.median
    )  # fmt: skip
    return (
        f"Its {done.flops * 1e-6:.3g} MFLOP and {done.bytes * 1e-6:.3g} MB ({line.level(within).name}) "
        f"need {duration(done.bound)} at least, {done.bound / ours.median:.0%} of the time that it takes; "
        f"most of that goes to {', '.join(kernels)}"
    )


def _work(results: Results, row: str, threads: int) -> Work | None:
    described, line = results.described.get(f"{row} {threads}"), results.roofline.get(str(threads))
    return work_of(described, from_dict(line)) if described and line else None


def compiling(results: Results) -> str:
    """Cold and cached, beside the peers' way to a first result."""
    threads = min(results.threads(), default=1)
    peers = results.peers()
    head = ["row", "sg.function, cold", "cached", "goals", "met", "first result, cold", *peers]
    cells = []
    for row in _rows(results):
        found = results.of(row, threads)
        if OURS not in found:
            continue
        ours, most = found[OURS], DEEP.get(row, GOAL_COLD)
        met = (ours.compiling or 0.0) <= most and (ours.cached or 0.0) <= GOAL_CACHED
        goals = f"{duration(most)}, {duration(GOAL_CACHED)}"
        theirs = (duration(found[p].first if p in found else None) for p in peers)
        own = (duration(ours.compiling), duration(ours.cached), goals, yes(met), duration(ours.first))
        cells.append([row, *own, *theirs])
    return table(head, cells)


def memory(results: Results) -> str:
    """Peak memory of the processes: symgraph's compiles with an empty cache."""
    threads = min(results.threads(), default=1)
    cells = []
    for row in _rows(results):
        found = results.of(row, threads)
        if OURS in found and "PyTorch" in found:
            ours, theirs = found[OURS].peak, found["PyTorch"].peak
            share = ours / theirs
            cells.append([row, mebibytes(ours), mebibytes(theirs), f"{share:.0%}", yes(share <= GOAL_MEMORY)])
    return table(["row", "symgraph", "PyTorch", "share", f"at most {GOAL_MEMORY:.0%}"], cells)


def _rows(results: Results) -> list[str]:
    seen = {o.row for o in results.outcomes} | {m.row for m in results.missing}
    return [row for row in PROBLEMS if row in seen]


def _threads(count: int) -> str:
    return "one thread" if count == 1 else "two threads" if count == 2 else f"{count} threads"
