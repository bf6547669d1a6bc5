"""`symgraph bench`."""

from symgraph.bench.command import EXAMPLES as EXAMPLES
from symgraph.bench.command import HELP as HELP
from symgraph.bench.command import add_arguments as add_arguments
from symgraph.bench.command import run as run
