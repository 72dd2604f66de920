"""What the headers of a model's files say of its size, and what they cannot be made to say."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.progress import safetensors
from slurm_guard.progress.safetensors import ModelSize, Part, read_model
from tests.unit.progress.weight_files import BLOCK, Tensors, block, entries, packed, weights

EMBED = {"model.embed_tokens.weight": ("BF16", [1000, 64])}


def size_of(*files: bytes, left_b: int = safetensors.MAX_HEADERS_B) -> ModelSize:
    parts = []
    for nth, data in enumerate(files):
        fd = os.memfd_create("weights")
        os.write(fd, data)
        parts.append(Part(f"model-{nth}.safetensors", fd))
    try:
        return read_model(parts, left_b)
    finally:
        for part in parts:
            os.close(part.fd)


def of(**tensors: Any) -> ModelSize:
    return size_of(weights(tensors))


def test_a_models_parameters_are_the_sum_over_its_shards() -> None:
    size = size_of(
        weights({**EMBED, **block(0)}), weights({**block(1), "lm_head.weight": ("BF16", [1000, 64])})
    )

    assert size[:2] == (128_000 + 2 * BLOCK, 128_000 + 2 * BLOCK)
    assert (size.problems, size.read_b > 1000) == ([], True)


@pytest.mark.parametrize(
    ("name", "is_expert"),
    [
        ("model.layers.0.block_sparse_moe.experts.3.w1.weight", True),  # Mixtral
        ("model.layers.0.mlp.experts.17.down_proj.weight", True),  # Qwen-MoE, DeepSeek
        ("model.layers.0.mlp.experts.gate_up_proj", True),  # gpt-oss, Llama 4
        ("encoder.block.1.layer.1.mlp.experts.expert_0.wi.weight", True),  # Switch
        ("decoder.layers.0.mlp.experts.local_experts.1.linear_fc1.weight", True),  # Megatron
        ("transformer.layers.3.mlp.deepspeed_moe.experts.deepspeed_experts.0.dense.weight", True),
        ("model.layers.0.block_sparse_moe.input_linear.weight", True),  # Granite
        ("model.layers.0.block_sparse_moe.gate.weight", False),
        ("model.layers.0.mlp.gate.weight", False),
        ("model.layers.0.mlp.shared_experts.up_proj.weight", False),
        ("model.layers.0.mlp.shared_expert_gate.weight", False),
        ("model.layers.0.self_attn.q_proj.weight", False),
    ],
)  # fmt: skip
def test_what_only_some_tokens_pass_is_not_dense(name: str, is_expert: bool) -> None:
    size = of(**{**EMBED, name: ("BF16", [8, 64, 64])})

    assert size[:2] == (64_000 + 8 * 64 * 64, 64_000 + (0 if is_expert else 8 * 64 * 64))


@pytest.mark.parametrize(
    "beside",
    [
        {"optimizer.state.0.exp_avg": ("F32", [1000, 64]), "exp_avg_sq.1": ("F32", [1000, 64])},
        {"state.step": ("F32", [2]), "ema.model.weight": ("BF16", [1000, 64])},
        {"model.layers.0.weight.exp_avg": ("F32", [1000, 64])},
        {"h.0.attn.bias": ("F32", [1, 1, 256, 256])},  # a mask
        {"h.0.attn.bias": ("BOOL", [1, 1, 1024, 1024]), "position_ids": ("I64", [1, 512])},
        {"bn1.running_mean": ("F32", [64]), "bn1.num_batches_tracked": ("I64", [])},
        {"nobody": ("I64", [0, 7])},
    ],
)
def test_what_is_no_weight_of_the_model_is_not_counted(beside: Tensors) -> None:
    assert of(**EMBED, **beside)[:2] == (64_000, 64_000)


def test_scalars_kernels_and_weights_of_eight_bits_count() -> None:
    size = of(scale=("F32", []), conv=("F32", [1, 1, 3, 3]), w=("F8_E4M3", [128, 64]))

    assert size.params == 1 + 9 + 128 * 64


@pytest.mark.parametrize(
    "quantised",
    [
        {
            "q_proj.weight": ("U8", [32_768, 1]),
            "q_proj.weight.absmax": ("F32", [1024]),
        },  # bitsandbytes, 4 bits
        {"q_proj.qweight": ("I32", [16, 128]), "q_proj.scales": ("F16", [1, 128])},  # GPTQ, AWQ
        {"experts.gate_up_proj_blocks": ("U8", [4, 64, 16])},  # MXFP4
        {"weird": ("I8", [64, 64, 64])},
    ],
)
def test_of_packed_weights_nobody_knows_how_many_there_are(quantised: Tensors) -> None:
    size = of(**EMBED, **quantised)

    assert size[:2] == (None, None)
    assert [one.partition(":")[0] for one in size.problems] == ["packed-weights"]


def test_a_checkpoint_whose_weights_were_not_gathered_is_no_small_model() -> None:
    size = of(norm=("F32", [64]), **{"q_proj.weight": ("F32", [0])})

    assert (size.params, size.problems) == (None, ["empty-weights: 1 of 2 tensors hold nothing"])


def test_an_adapter_alone_is_no_model_and_no_problem() -> None:
    names = [f"base_model.model.layers.0.q_proj.lora_{one}.weight" for one in "AB"]

    assert of(**{name: ("F32", [8, 64]) for name in names})[:2] == (None, None)
    assert of(**{name: ("F32", [8, 64]) for name in names}).problems == []
    assert of(**EMBED, **{name: ("F32", [8, 64]) for name in names}).params == 64_000 + 2 * 8 * 64


def edited(change: Any) -> bytes:
    body, n = entries({"a": ("F32", [4, 4]), "b": ("BF16", [8])})
    return packed(json.dumps(change(body) or body).encode(), b"\0" * n)


def put(name: str, **fields: Any) -> bytes:
    return edited(lambda body: body[name].update(fields))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "longer than the file"),
        (b"\x08\0\0", "longer than the file"),
        (packed(b"{}", b"", 1 << 63), "longer than the file"),
        (packed(b"{}", b"", 3), "longer than the file"),
        (packed(b"[]", b""), "no object"),
        (packed(b'"aaaa"', b""), "no object"),
        (packed(b"{" + b"\xff" * 8 + b"}", b""), "no JSON"),
        (packed(b'{"a":' * 30_000, b""), "no JSON"),
        (packed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b""), "no JSON"),
        (packed(b'{"a":NaN}', b""), "not whole"),
        (packed(b'{"a":1e400}', b""), "not whole"),
        (packed(b'{"a":' + b"9" * 5_000 + b"}", b""), "too long"),
        (packed(b'{"a":1,"a":2}', b""), "twice"),
        (packed(b'{"__metadata__":{"x":"1","x":"2"}}', b""), "twice"),
        (packed(b'{"a":1}', b""), "no known type"),
        (packed(b'{"a":{"dtype":["F32"],"shape":[],"data_offsets":[0,4]}}', b"0000"), "no known type"),
        (put("a", dtype="F33"), "no known type"),
        (put("a", shape=[4, -4]), "shape and a place"),
        (put("a", shape=[True, 16]), "shape and a place"),
        (put("a", shape=[4.0, 4]), "not whole"),
        (put("a", shape="44"), "shape and a place"),
        (put("a", shape=[1] * 15 + [4, 4]), "shape and a place"),
        (put("a", shape=[1 << 40, 1 << 40]), "more elements"),
        (put("a", shape=[10**18, 10**18, 0]), "not as long"),
        (put("a", data_offsets=[0, 63]), "not as long"),
        (put("a", data_offsets=[64, 0]), "not as long"),
        (put("a", data_offsets=[0, 64, 64]), "shape and a place"),
        (put("b", data_offsets=[0, 16]), "overlap"),
        (put("b", data_offsets=[48, 64]), "overlap"),
        (put("b", data_offsets=[70, 86]), "leave bytes"),
        (put("b", data_offsets=[64, 80])[:-1], "not all there"),
        (put("b", data_offsets=[64, 80]) + b"\0", "bytes stand behind"),
        (packed(b"{}", b""), "no model"),
    ],
)
def test_a_header_that_does_not_fit_its_file_tells_nothing_and_says_why(data: bytes, words: str) -> None:
    size = size_of(data)

    assert size[:2] == (None, None)
    (problem,) = size.problems
    assert problem.startswith("bad-weights: ")
    assert words in problem


def test_one_bad_shard_takes_the_figure_away() -> None:
    assert size_of(weights(EMBED), weights(block(0))[:-1]).params is None
    assert "in it again" in size_of(weights(EMBED), weights(EMBED)).problems[0]


def test_headers_are_bounded_alone_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "MAX_HEADER_B", 5_000)
    long = weights({f"w{nth}": ("F32", [1]) for nth in range(100)})
    short = weights(EMBED)

    assert "longer than 5000 bytes" in size_of(long).problems[0]
    assert size_of(short, weights(block(0)), left_b=500).params is None
    assert size_of(short, left_b=500).params == 64_000


def test_a_file_whose_bytes_are_not_on_disk_is_no_model(tmp_path: Path) -> None:
    n = 1 << 31
    header = json.dumps({"w": {"dtype": "F32", "shape": [n], "data_offsets": [0, 4 * n]}}).encode()
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(packed(header, b""))
        file.truncate(8 + len(header) + 4 * n)

    with path.open("rb") as file:
        size = read_model([Part(path.name, file.fileno())])

    assert size.problems == ["bad-weights: model.safetensors: most of its size is not on disk"]
