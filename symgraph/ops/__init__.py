"""Every op, declared once, and the operators of values."""

from symgraph.ops import operators as operators  # importing it gives values their operators
