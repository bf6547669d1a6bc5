"""Every error symgraph raises on purpose, each a subclass of the built-in a reader would expect."""


class SymgraphError(Exception):
    """Base of all errors raised on purpose."""


class ShapeError(SymgraphError, ValueError):
    """Shapes or named dimensions do not fit together."""


class DTypeError(SymgraphError, TypeError):
    """An element type is not accepted here."""


class GraphError(SymgraphError, ValueError):
    """A graph is malformed, or a value of another graph or world was used."""


class GradientError(SymgraphError, ValueError):
    """A gradient does not exist: the path is broken or an op is not differentiable."""


class InputError(SymgraphError, ValueError):
    """An array handed to a compiled function is not what was declared."""


class NumericsError(SymgraphError, ArithmeticError):
    """check_numerics=True met a NaN or an infinity; names the first op that made it."""


class CompileError(SymgraphError, RuntimeError):
    """A pass or the code generator failed; names the pass and the node."""


class BackendUnavailable(SymgraphError, RuntimeError):
    """Native code cannot be made on this machine (no llvmlite, no executable memory)."""


class ExportError(SymgraphError, RuntimeError):
    """An artifact could not be written."""


class CheckpointError(SymgraphError, ValueError):
    """A model file is truncated, damaged or foreign."""


class StateError(SymgraphError, ValueError):
    """Parameters or optimizer state do not match what is being loaded or assigned."""
