"""Grows the kit's tiny FunASR releases to full size, with random weights: the official export's own nodes, layer after layer, and the
official sizes. What comes out is as fast and as large as a real release, and says nothing sensible.

usage: full_size_funasr.py KIT_MODELS DIRECTORY

Makes `paraformer-large`, `sensevoice-small` and `ct-punc` in DIRECTORY, each with model.onnx and model_quant.onnx, unless they are there.
"""

import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

# Sizes of the official releases; `tiny` is the release of the kit that has the same layers.
MODELS = {
    "paraformer-large": {
        "tiny": "paraformer-tiny", "width": 512, "feed_forward": 2048, "heads": 4, "vocabulary": 8404,
        "stacks": {"encoder": 50, "decoder": 16},
    },
    "sensevoice-small": {
        "tiny": "sensevoice-tiny", "width": 512, "feed_forward": 2048, "heads": 4, "vocabulary": 25055,
        "stacks": {"encoder": 50, "tp_encoder": 20},
    },
    "ct-punc": {
        "tiny": "punc-tiny", "width": 256, "feed_forward": 1024, "heads": 8, "vocabulary": 272727,
        "stacks": {"encoder": 4},
    },
}

# Normalisations of a layer.
NORMS = {"encoder": 2, "tp_encoder": 2, "decoder": 4}
# Weights of frames that make 4.5 tokens a second, as Mandarin has.
ALPHA_BIAS = -1.0


class Growth:
    """One graph on its way."""

    def __init__(self, directory: Path, sizes: dict) -> None:
        self.model = onnx.load(directory / "model.onnx")
        self.graph = self.model.graph
        self.sizes = sizes
        config = yaml.safe_load((directory / "config.yaml").read_text())
        self.layers = {"encoder": config["encoder_conf"]["num_blocks"]}
        self.layers["tp_encoder"] = config["encoder_conf"].get("tp_blocks", 0)
        self.layers["decoder"] = config.get("decoder_conf", {}).get("num_blocks", 0)
        self.tiny = config["encoder_conf"]["output_size"]
        self.tiny_heads = config["encoder_conf"]["attention_heads"]
        self.tiny_feed_forward = config["encoder_conf"]["linear_units"]
        self.random = np.random.default_rng(1)
        self.initializers = {tensor.name: tensor for tensor in self.graph.initializer}
        self.consumers: dict[str, list] = {}
        for node in self.graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)

    def run(self) -> onnx.ModelProto:
        """The grown model."""
        shapes = self.full_shapes()
        nodes, sources = self.repeated()
        self.grow_constants(nodes)
        gains = {node.input[1] for node in nodes if node.op_type == "Mul"}
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        kept = [self.filled(name, shapes[source], name in gains) for name, source in sources.items()]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        # Shapes that the exporter noted are those of the tiny release.
        del self.graph.value_info[:]
        for output in self.graph.output:
            output.type.tensor_type.ClearField("shape")
        for number, node in enumerate(self.graph.node):
            node.name = f"/{number}/{node.op_type}"
        # Two names say that a product is not quantised.
        products = [node for node in self.graph.node if node.op_type == "MatMul" and node.input[1] in sources]
        if "decoder" in self.sizes["stacks"]:
            products[-1].name = "/decoder/output_layer/MatMul"
        for node in products:
            if shapes[sources[node.input[1]]] == (self.sizes["width"], 1):
                node.name = "/predictor/cif_output/MatMul"
        return self.model

    def full_shapes(self) -> dict[str, tuple]:
        """The shape that each constant grows to, told by what takes it."""
        width, feed_forward = self.sizes["width"], self.sizes["feed_forward"]
        shapes = {}
        for name, tensor in self.initializers.items():
            shapes[name] = tuple(tensor.dims)
        for node in self.graph.node:
            if node.op_type == "Conv":
                weight = tuple(self.initializers[node.input[1]].dims)
                shapes[node.input[1]] = (width, 1 if weight[1] == 1 else width, weight[2])
                if len(node.input) > 2:
                    shapes[node.input[2]] = (width,)
            elif node.op_type == "MatMul" and node.input[1] in self.initializers:
                rows, columns = self.initializers[node.input[1]].dims
                after = self.consumers[node.output[0]]
                add = after[0] if after[0].op_type == "Add" else None
                is_inner = add is not None and self.consumers.get(add.output[0], [node])[0].op_type == "Relu"
                full_rows = {self.tiny: width, self.tiny_feed_forward: feed_forward}.get(rows, rows)
                if is_inner:
                    full = feed_forward
                elif columns % self.tiny == 0 and columns // self.tiny <= 3:
                    full = columns // self.tiny * width
                else:
                    full = columns if columns < self.tiny else self.sizes["vocabulary"]
                shapes[node.input[1]] = (full_rows, full)
                bias = [name for name in (add.input if add else []) if name in self.initializers]
                for name in bias:
                    shapes[name] = (full,)
            elif node.op_type == "Gather" and node.input[0] in self.initializers:
                rows, columns = self.initializers[node.input[0]].dims
                if columns == self.tiny:
                    shapes[node.input[0]] = (self.sizes["vocabulary"], width)
        for node in self.graph.node:
            if node.op_type == "Mul" and node.input[1] in self.initializers and len(shapes[node.input[1]]) == 1:
                # Gain of a normalisation, and the offset behind it.
                size = self.initializers[node.input[1]].dims[0]
                full = {self.tiny: width, self.tiny_feed_forward: feed_forward}.get(size, size)
                shapes[node.input[1]] = (full,)
                for add in self.consumers[node.output[0]]:
                    for name in add.input:
                        if name in self.initializers:
                            shapes[name] = (full,)
        return shapes

    def repeated(self) -> tuple[list, dict[str, str]]:
        """The nodes with the last layer of each stack as often as it takes, and which of the tiny constants each constant is like."""
        nodes = list(self.graph.node)
        norms = [at for at, node in enumerate(nodes) if node.op_type == "ReduceMean"][::2]
        sources = {name: name for name in self.initializers}
        out, renamed, done, norm = [], {}, 0, 0
        for stack, norms_of_layer in NORMS.items():
            layers = self.layers[stack]
            if layers == 0:
                continue
            before, begin, end = (norms[norm + norms_of_layer * (layers - back)] for back in (2, 1, 0))
            norm += norms_of_layer * layers + (stack != "decoder")  # an encoder ends with a normalisation
            out += [self.renamed(node, renamed) for node in nodes[done:end]]
            layer, done = nodes[begin:end], end
            # What a layer takes of the one before: its output, and masks that are cast again and again.
            taken = {}
            for older, newer in zip(nodes[before:begin][::-1], layer[::-1]):
                if older.op_type == newer.op_type != "Constant":
                    taken |= dict(zip(older.output, newer.output))
            made = {name: renamed.get(name, name) for node in layer for name in node.output}
            for number in range(self.sizes["stacks"][stack] - layers):
                names = {older: made[newer] for older, newer in taken.items()}
                made = {name: f"{name}_{stack}{number}" for name in made}
                for node in layer:
                    for name in node.input:
                        if name in self.initializers and name not in made:
                            names[name] = f"{name}_{stack}{number}"
                            sources[names[name]] = name
                out += [self.renamed(node, names | made) for node in layer]
            renamed |= made
        return out + [self.renamed(node, renamed) for node in nodes[done:]], sources

    @staticmethod
    def renamed(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
        """A copy with other names of tensors."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [names.get(name, name) for name in node.input]
        copy.output[:] = [names.get(name, name) for name in node.output]
        return copy

    def grow_constants(self, nodes: list) -> None:
        """Grows sizes that the exporter wrote into the nodes."""
        width, heads = self.sizes["width"], self.sizes["heads"]
        tiny, tiny_heads = self.tiny, self.tiny_heads
        makers = {name: node for node in nodes for name in node.output}
        done = set()

        def grow(name: str, old, new) -> None:
            maker = makers.get(name)
            if maker is None or maker.op_type != "Constant" or name in done:
                return
            value = numpy_helper.to_array(maker.attribute[0].t)
            if np.allclose(value, old):
                done.add(name)
                maker.attribute[0].t.CopyFrom(numpy_helper.from_array(np.full_like(value, new)))

        for node in nodes:
            if node.op_type == "Split":
                grow(node.input[1], tiny, width)
            elif node.op_type == "Concat" and len(node.input) == 4:
                grow(node.input[2], tiny_heads, heads)
                grow(node.input[3], tiny // tiny_heads, width // heads)
            elif node.op_type == "Concat" and len(node.input) == 3:
                grow(node.input[2], tiny, width)
            elif node.op_type == "Mul":
                grow(node.input[1], math.sqrt(tiny / tiny_heads) ** -1, math.sqrt(width / heads) ** -1)
                if node.input[0] not in makers or makers[node.input[0]].op_type in ("Concat", "Gather"):
                    grow(node.input[1], math.sqrt(tiny), math.sqrt(width))
            elif node.op_type == "Div" and makers[node.input[0]].op_type == "MatMul":
                grow(node.input[1], math.sqrt(tiny / tiny_heads), math.sqrt(width / heads))
            elif node.op_type == "Conv":
                for attribute in node.attribute:
                    if attribute.name == "group" and attribute.i == tiny:
                        attribute.i = width

    def filled(self, name: str, shape: tuple, is_gain: bool) -> onnx.TensorProto:
        """A constant of random values that keep the signal's size."""
        if shape == (1,):
            values = np.full(shape, ALPHA_BIAS)
        elif len(shape) == 1:
            values = np.full(shape, float(is_gain))
        elif len(shape) == 2:
            values = self.random.standard_normal(shape, np.float32) * shape[0] ** -0.5
        else:
            values = self.random.standard_normal(shape, np.float32) * (shape[1] * shape[2]) ** -0.5
        return numpy_helper.from_array(values.astype(np.float32), name)


def quantize(directory: Path) -> None:
    """As the official export does. Source: FunASR `utils/export_utils.py`."""
    path = directory / "model.onnx"
    names = [node.name for node in onnx.load(path, load_external_data=False).graph.node]
    excluded = [name for name in names if any(part in name for part in ("output", "bias_encoder", "bias_decoder"))]
    quantize_dynamic(
        path, directory / "model_quant.onnx", op_types_to_quantize=["MatMul"], per_channel=True, reduce_range=False,
        weight_type=QuantType.QUInt8, nodes_to_exclude=excluded,
    )


def vocabulary(tiny: Path, directory: Path, sizes: dict) -> None:
    """Tokens as many as there are classes; those that the kit lacks are Chinese characters, then numbers."""
    size = sizes["vocabulary"]
    characters = [chr(code) for code in range(0x4E00, 0xA000)]
    pieces = tiny / "chn_jpn_yue_eng_ko_spectok.bpe.model"
    if pieces.is_file():
        from sentencepiece import sentencepiece_model_pb2

        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString(pieces.read_bytes())
        known = {piece.piece for piece in model.pieces}
        missing = [text for text in characters + [f"w{number}" for number in range(size)] if text not in known]
        for text in missing[: size - len(model.pieces)]:
            model.pieces.add(piece=text, score=-1e4)
        (directory / pieces.name).write_bytes(model.SerializeToString())
    tokens = json.loads((tiny / "tokens.json").read_text())
    missing = [text for text in characters + [f"w{number}" for number in range(size)] if text not in set(tokens)]
    tokens = tokens[:-1] + missing[: size - len(tokens)] + tokens[-1:]
    (directory / "tokens.json").write_text(json.dumps(tokens, ensure_ascii=False))


def main() -> None:
    kit, target = Path(sys.argv[1]), Path(sys.argv[2])
    for name, sizes in MODELS.items():
        directory, tiny = target / name, kit / sizes["tiny"]
        if (directory / "complete").is_file():
            continue
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        print(f"growing {name}", file=sys.stderr)
        onnx.save(Growth(tiny, sizes).run(), directory / "model.onnx")
        quantize(directory)
        vocabulary(tiny, directory, sizes)
        config = yaml.safe_load((tiny / "config.yaml").read_text())
        config["encoder_conf"] |= {"output_size": sizes["width"], "attention_heads": sizes["heads"]}
        if "decoder_conf" in config:
            config["decoder_conf"]["attention_heads"] = sizes["heads"]
        (directory / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
        if (tiny / "am.mvn").is_file():
            shutil.copy(tiny / "am.mvn", directory)
        (directory / "complete").touch()


if __name__ == "__main__":
    main()
