"""The rows for inference in onnxruntime; the models are written as ONNX graphs by `onnx.helper`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingImports]
from onnx import TensorProto, helper, numpy_helper  # pyright: ignore[reportMissingImports]

from symgraph.bench.problems import Prepared, Problem, problem

OPSET, IR_VERSION = 17, 8


def prepare(name: str, threads: int) -> Prepared:
    numbers = problem(name)
    writer = Writer(numbers)
    MODELS[name](writer)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(writer.model(), options, providers=["CPUExecutionProvider"])
    feed = {"x": numbers.inputs[0]}
    return Prepared(
        call=lambda: session.run(None, feed),
        numbers=lambda result: [np.asarray(a) for a in result],  # pyright: ignore[reportGeneralTypeIssues]
        version=onnxruntime.__version__,
    )


class Writer:
    """Nodes one after another; `value` is the name of the last one's result."""

    def __init__(self, numbers: Problem) -> None:
        self.numbers = numbers
        self.nodes: list[Any] = []
        self.value = "x"

    def add(self, op: str, *weights: str, **attributes: Any) -> str:
        """An op on the last value and on parameters by name."""
        made = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.value, *weights], [made], **attributes))
        self.value = made
        return made

    def linear(self, name: str) -> None:
        self.add("Gemm", f"{name}.weight", f"{name}.bias", transB=1)

    def convolution(self, conv: str, norm: str, stride: int = 1) -> None:
        """With the batch norm after it."""
        size = self.numbers.parameters[f"{conv}.weight"].shape[-1]
        self.add(
            "Conv", f"{conv}.weight", strides=[stride] * 2, pads=[size // 2] * 4, kernel_shape=[size] * 2
        )
        kinds = ("weight", "bias", "running_mean", "running_var")
        self.add("BatchNormalization", *(f"{norm}.{kind}" for kind in kinds), epsilon=1e-5)

    def residual(self, name: str, stride: int) -> None:
        before = self.value
        self.convolution(f"{name}.a.0", f"{name}.a.1", stride)
        self.add("Relu")
        self.convolution(f"{name}.a.3", f"{name}.a.4")
        long, self.value = self.value, before
        if f"{name}.s.0.weight" in self.numbers.parameters:
            self.convolution(f"{name}.s.0", f"{name}.s.1", stride)
        self.add("Add", long)
        self.add("Relu")

    def model(self) -> bytes:
        ends = ((self.numbers.inputs[0].shape, "x"), ((1, None), self.value))
        given, made = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for shape, n in ends)
        weights = [numpy_helper.from_array(a, key) for key, a in self.numbers.parameters.items()]
        graph = helper.make_graph(self.nodes, "row", [given], [made], weights)
        versions = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION).SerializeToString()


def _mlp(writer: Writer) -> None:
    for layer in ("0", "2"):
        writer.linear(layer)
        writer.add("Relu")
    writer.linear("4")


def _resnet(writer: Writer) -> None:
    writer.convolution("0", "1")
    writer.add("Relu")
    for name, stride in (("3", 1), ("4", 2), ("5", 2)):
        writer.residual(name, stride)
    writer.add("GlobalAveragePool")
    writer.add("Flatten")
    writer.linear("8")


MODELS = {"mlp_infer1": _mlp, "cnn_infer1": _resnet}
