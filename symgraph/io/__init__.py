"""Saving and loading: arrays, models and graphs, each one safetensors file."""

from symgraph.io.graph_reader import graph_from_json
from symgraph.io.graph_writer import graph_to_json
from symgraph.io.model_file import load, naming, read_document, save, value_of, write_document

__all__ = [
    "graph_from_json",
    "graph_to_json",
    "load",
    "naming",
    "read_document",
    "save",
    "value_of",
    "write_document",
]
