"""Every op, declared once, and the operators of values."""

from symgraph.ops import operators as operators  # importing it gives values their operators
from symgraph.ops import scan_gradient as scan_gradient  # and this a loop its gradient rule
