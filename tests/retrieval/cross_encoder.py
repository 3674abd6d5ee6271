"""A real cross-encoder, small enough to be written by a test: its score is how many words the pair has in common."""

import json
from pathlib import Path

from onnx import ModelProto, TensorProto, helper, save
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

MAX_TOKENS = 32
_MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def write_cross_encoder(folder: Path, words: list[str], *, file: str = "onnx/model.onnx") -> Path:
    """Write a model with BERT's inputs, and its tokenizer, as transformers' export lays them out."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    save(_model(), folder / file)
    vocabulary = {word: number for number, word in enumerate([*_MARKS, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": MAX_TOKENS, "pad_token": "[PAD]"}))
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}))
    return folder


def _model() -> ModelProto:
    """Return the graph: pairs of the question's and the text's positions that hold the same word, counted."""
    node = helper.make_node
    names = ("input_ids", "attention_mask", "token_type_ids")
    nodes = [
        node("Greater", ["input_ids", "last_mark"], ["is_word"]),
        node("Cast", ["token_type_ids"], ["is_second"], to=TensorProto.BOOL),
        node("Not", ["is_second"], ["is_first"]),
        node("Cast", ["attention_mask"], ["is_read"], to=TensorProto.BOOL),
        node("And", ["is_word", "is_read"], ["counts"]),
        node("And", ["counts", "is_first"], ["asked"]),
        node("And", ["counts", "is_second"], ["told"]),
        node("Unsqueeze", ["input_ids", "last"], ["ids_down"]),
        node("Unsqueeze", ["input_ids", "middle"], ["ids_across"]),
        node("Equal", ["ids_down", "ids_across"], ["same"]),
        node("Unsqueeze", ["asked", "last"], ["asked_down"]),
        node("Unsqueeze", ["told", "middle"], ["told_across"]),
        node("And", ["asked_down", "told_across"], ["pairs"]),
        node("And", ["same", "pairs"], ["common"]),
        node("Cast", ["common"], ["ones"], to=TensorProto.FLOAT),
        node("ReduceSum", ["ones", "both"], ["sum"], keepdims=0),
        node("Unsqueeze", ["sum", "end"], ["logits"]),
    ]
    constants = {"last_mark": len(_MARKS) - 1, "last": 2, "middle": 1, "end": 1}
    weights = [helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in constants.items()]
    weights.append(helper.make_tensor("both", TensorProto.INT64, [2], [1, 2]))
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])
    graph = helper.make_graph(nodes, "common_words", inputs, [logits], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
