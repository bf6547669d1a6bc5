"""Saving and loading: arrays, models and graphs, each one safetensors file."""

from symgraph.io.graph_reader import graph_from_json
from symgraph.io.graph_writer import graph_to_json
from symgraph.io.model_file import kind_of, load, read_document, save, write_document

__all__ = ["graph_from_json", "graph_to_json", "kind_of", "load", "read_document", "save", "write_document"]
