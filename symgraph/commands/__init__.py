"""Subcommands of `symgraph`, a module each: HELP, EXAMPLES, add_arguments(parser), run(arguments)."""
