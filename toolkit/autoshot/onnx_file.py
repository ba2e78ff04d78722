"""An auto-shot network as an ONNX file, for programs that have neither PyTorch nor this toolkit."""

import json
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toolkit.autoshot.layout import Judged
from toolkit.errors import ToolkitError
from toolkit.files import replace_when_done

AXES = {0: "batch", 2: "height", 3: "width"}


def export(network: nn.Module, about: dict[str, Any], path: str | Path) -> None:
    """Write one self-contained ONNX file.

    Its input "image" is (N, 3, height, width) float32 in [-1, 1], its output "logits" (N, K, height,
    width), N, height and width dynamic. Its metadata has "classes" (a JSON list, background first),
    "palette" (a JSON list of RGB), "resolution" (the shorter side it learned from) and "fit" ("pad" where it learned
    from whole pictures, padded to squares by repeating their edges: give it such). Of a network that judges its trust
    a second output "trust" is (N,), 0 to 1, and the metadata's "low_trust" says below what not to believe it.

    Args:
        network: a `UNet`, in eval mode, or one `layout.Judged`.
        about: as `AutoShotSegmenter.about` returns it.
        path: the file.
    Raises:
        ToolkitError: the packages for it are not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 torch.onnx needs it
    except ImportError as error:
        raise ToolkitError(
            "export_onnx",
            "the packages onnx and onnxscript",
            f"no {error.name}",
            'Install them with: pip install "one-shot-parts[export]"',
        ) from error
    # Traced with sides that are not multiples of 16, so that the graph includes the padding.
    side, device = 2 * about["resolution"], next(network.parameters()).device
    example = torch.zeros(2, 3, side + 5, side + 9, device=device)
    dynamic = {"image": dict.fromkeys(AXES, torch.export.Dim.DYNAMIC)}
    with _quiet():
        program: Any = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["image"],
            output_names=["logits", "trust"] if isinstance(network, Judged) else ["logits"],
            dynamic_shapes=dynamic,
        )
    model = program.model_proto
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in AXES.items() if value.name != "trust" else [(0, AXES[0])]:
            value.type.tensor_type.shape.dim[axis].dim_param = name
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in about.items()})
    onnx.checker.check_model(model)
    with replace_when_done(path) as temporary:
        onnx.save_model(model, temporary, save_as_external_data=False)


@contextmanager
def _quiet():
    """Silence the exporter's warnings about optional packages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
