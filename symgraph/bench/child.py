"""One workload of symgraph's own: `python -m symgraph.bench.child NAME SECONDS THREADS` prints JSON."""

import json
import sys

from symgraph.bench.timing import pin
from symgraph.bench.workloads import WORKLOADS

if __name__ == "__main__":
    name, seconds, threads = sys.argv[1:]
    pin(int(threads))
    print(json.dumps(WORKLOADS[name](float(seconds))))
