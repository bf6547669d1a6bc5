"""One module for each engine: `prepare(name, threads)` makes a row's call in it."""
