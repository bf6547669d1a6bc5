"""Calling an exported shared library from Python; nothing is compiled, llvmlite is not needed."""

from compiler.aot.library import SharedModel, load_library

__all__ = ["SharedModel", "load_library"]
