"""How a graph runs: passes, loop kernels, native code."""
