"""An ONNX file: data, not code. One of its outputs acts; the others are left out.

Most are exported with a batch of one, torch's default, and many answer values and probabilities beside the action, as
Stable-Baselines3's own recipe for ONNX does. A serving pod asks for several observations at once and for one output, so
both are mended here; the file itself, asked one observation at a time, stays the measure of what is written.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError, Message

from belay_api.artifact import Imported
from belay_api.spaces import BoxSpace, Space, array_space, space_model
from belay_heads import observations
from belay_trainer.errors import BadConfiguration
from belay_trainer.export import ONNX, ONNX_DTYPES, Network
from belay_trainer.importing import spaces
from belay_trainer.importing.found import Answers, Declared, Found, Source, fit, require_space
from belay_trainer.threads import onnx_session

BATCH = "batch"


def read(source: Source, declared: Declared) -> Found:
    """Return the policy in a file. Raises: BadConfiguration."""
    model = _parsed(source)
    taken, answered = _input(source, model), _output(source, model, declared.onnx_output)
    session = _session(source, model)
    dtype = _dtype(source, session)
    observation = _observation(source, taken, dtype, declared)
    action = array_space(require_space(declared.action, "--action-space", source.name))

    def one_by_one(batch: np.ndarray) -> np.ndarray:
        rows = [session.run([answered.name], {taken.name: row[None].astype(dtype)})[0] for row in batch]
        return np.concatenate([np.asarray(row).reshape(1, -1) for row in rows])

    width = _tried(source, one_by_one, observation)
    head = fit(declared.output, action, width=width, name=source.name)
    servable = _servable(model, taken, answered)

    def write(folder: Path) -> None:
        (folder / ONNX).write_bytes(servable)

    return Found(
        imported=Imported(format="onnx", source=source.name, sha256=source.sha256),
        observation=observation,
        action=action,
        output=head.output,
        policy=Answers(head, one_by_one),
        write=write,
    )


def _parsed(source: Source) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(source.path.read_bytes())  # of weights in other files it reads none
        # The runtime would read whatever file a model names.
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
            raise BadConfiguration(
                f"{source.name} keeps weights in files beside it: write them into it, "
                "`onnx.save(onnx.load(path), path, save_as_external_data=False)`."
            )
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadConfiguration(f"{source.name} is no ONNX file, nor any other that can be imported: {first}") from error
    return model


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Yield every tensor in a model, wherever it stands: in graphs, in attributes, in functions."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if isinstance(value, Message) else value:
                yield from _tensors(inner)


def _input(source: Source, model: onnx.ModelProto) -> onnx.ValueInfoProto:
    weights = {tensor.name for tensor in model.graph.initializer}  # which older files list among the inputs
    inputs = [one for one in model.graph.input if one.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs) or "none"
        raise BadConfiguration(
            f"{source.name} has {len(inputs)} inputs ({names}): one is needed, the observation. A policy with a hidden "
            "state or a mask cannot be served from ONNX."
        )
    return inputs[0]


def _output(source: Source, model: onnx.ModelProto, wanted: str | None) -> onnx.ValueInfoProto:
    outputs = {one.name: one for one in model.graph.output}
    if wanted is None and len(outputs) == 1:
        return next(iter(outputs.values()))
    if wanted not in outputs:
        what = (
            f"--onnx-output {wanted} is none of its outputs" if wanted else f"{source.name} has {len(outputs)} outputs"
        )
        raise BadConfiguration(f"{what}: choose the one that acts, --onnx-output {' or '.join(outputs)}.")
    return outputs[wanted]


def _session(source: Source, model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    try:
        return onnx_session(model.SerializeToString())
    except Exception as error:  # onnxruntime raises a family of its own
        first = str(error).strip().splitlines()[0]
        raise BadConfiguration(
            f"{source.name} cannot be run by onnxruntime {onnxruntime.__version__}: {first} Export it with an older "
            "opset and without operators of your own."
        ) from error


def _dtype(source: Source, session: onnxruntime.InferenceSession) -> np.dtype:
    kind = session.get_inputs()[0].type
    if kind not in ONNX_DTYPES:
        raise BadConfiguration(f"{source.name} takes {kind}: one of {', '.join(ONNX_DTYPES)} is needed.")
    return np.dtype(ONNX_DTYPES[kind])


def _observation(source: Source, taken: onnx.ValueInfoProto, dtype: np.dtype, declared: Declared) -> Space:
    """Return the observation space: what was said, or unbounded numbers of the shape that the input has."""
    dims = [dim.dim_value for dim in taken.type.tensor_type.shape.dim]  # 0: any size
    if declared.observation is None and len(dims) > 1 and all(dims[1:]) and dtype.kind == "f":
        size = int(np.prod(dims[1:]))
        return BoxSpace(shape=dims[1:], dtype=dtype.name, low=[None] * size, high=[None] * size)
    space = space_model(require_space(declared.observation, "--observation-space", source.name))
    shape = list(observations.shape(space))
    if dims and (len(dims) != len(shape) + 1 or any(a and a != b for a, b in zip(dims[1:], shape, strict=True))):
        wanted = ", ".join(str(dim or "any") for dim in dims)
        raise BadConfiguration(
            f"{source.name} takes ({wanted}), and observations {space} come as (batch, {', '.join(map(str, shape))}): "
            "check the observation space; a network must take batches."
        )
    return space


def _tried(source: Source, network: Network, observation: Space) -> int:
    """Return how many outputs the network has for an observation."""
    try:
        return int(network(spaces.observations(observation, count=1)).shape[1])
    except Exception as error:  # onnxruntime raises a family of its own
        first = str(error).strip().splitlines()[0]
        raise BadConfiguration(
            f"{source.name} cannot be asked for observations {observation}: {first} If it takes batches of one size "
            "only, export it with any, `dynamic_axes` in torch.onnx.export."
        ) from error


def _servable(model: onnx.ModelProto, taken: onnx.ValueInfoProto, answered: onnx.ValueInfoProto) -> bytes:
    """Return the model with one output and with batches of any size."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.output[:]
    made.graph.output.append(answered)
    del made.graph.value_info[:]  # shapes in between, which were worked out for the old batch
    for value in (*made.graph.input, *made.graph.output):
        shape = value.type.tensor_type.shape
        if value.name in (taken.name, answered.name) and shape.dim:
            shape.dim[0].dim_param = BATCH
    content: bytes = made.SerializeToString()
    return content
