"""What symgraph reaches, measured: `python -m symgraph.bench` prints it and writes docs/benchmarks.md."""
