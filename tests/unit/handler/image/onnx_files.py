"""The linear layer of `artifacts` in the two network formats."""

import io

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from tests.unit.handler.artifacts import BIAS, WEIGHTS


def onnx_bytes(bias: np.ndarray = BIAS) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["observation", "weights", "bias"], ["output"])],
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def summing_bytes() -> bytes:
    """A policy that adds up the observations it has seen, its state of shape [4], and has the layer answer the sum."""
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["observation", "state"], ["next_state"]),
            helper.make_node("Gemm", ["next_state", "weights", "bias"], ["output"]),
        ],
        "policy",
        [
            helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["batch", 4]),
        ],
        [
            helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info("next_state", TensorProto.FLOAT, ["batch", 4]),
        ],
        [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(BIAS, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class _Summing(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.from_numpy(WEIGHTS.T.copy()))
            self.layer.bias.copy_(torch.from_numpy(BIAS.copy()))

    def forward(self, observation: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        after = observation + state
        return self.layer(after), after


def summing_torchscript_bytes() -> bytes:
    """The same as TorchScript."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(_Summing(), (torch.zeros(1, 4), torch.zeros(1, 4))), buffer)
    return buffer.getvalue()


def torchscript_bytes() -> bytes:
    layer = torch.nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(WEIGHTS.T.copy()))
        layer.bias.copy_(torch.from_numpy(BIAS.copy()))
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(layer, torch.zeros(1, 4)), buffer)
    return buffer.getvalue()


def critic_bytes(*, turned: bool = False) -> bytes:
    """A critic that says 1 where the first number is above 0 and 0 elsewhere; turned: the other way round."""
    nodes = [
        helper.make_node("Gather", ["observation", "first"], ["one"], axis=1),
        helper.make_node("Less" if turned else "Greater", ["one", "zero"], ["above"]),
        helper.make_node("Cast", ["above"], ["level"], to=TensorProto.INT64),
    ]
    graph = helper.make_graph(
        nodes,
        "critic",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("level", TensorProto.INT64, ["batch"])],
        [numpy_helper.from_array(np.array(0), "first"), numpy_helper.from_array(np.float32(0), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
