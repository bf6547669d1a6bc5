"""One workload: `python -m symgraph.bench.child NAME SECONDS` prints its figures as JSON."""

import json
import sys

from symgraph.bench.timing import pin
from symgraph.bench.workloads import WORKLOADS

if __name__ == "__main__":
    pin()
    name, seconds = sys.argv[1:]
    print(json.dumps(WORKLOADS[name](float(seconds))))
