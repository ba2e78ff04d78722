"""The page: draw one label, watch it spread. `python demos/app.py`, then open http://127.0.0.1:7860."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read at import: nothing leaves the machine
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # in a clone without installation the toolkit is beside demos/

from toolkit.threads import share_cores  # noqa: E402

share_cores()  # before anything imports torch

import endpoints  # noqa: E402
import gradio as gr  # noqa: E402
import kept  # noqa: E402
from look import HEADER, THEME, WORDS  # noqa: E402
from session import Sessions  # noqa: E402
from step_autoshot import AutoShot  # noqa: E402
from step_label import Label  # noqa: E402
from step_segment import Segment  # noqa: E402
from step_teach import Teach  # noqa: E402
from step_try import Try  # noqa: E402

from toolkit.errors import ToolkitError  # noqa: E402
from toolkit.gan.files import zoo  # noqa: E402
from toolkit.show import framing, labeller  # noqa: E402

MAX_UPLOAD = "8mb"
QUEUE_LENGTH = 64


def build(gans: Sequence[str] | None = None, device: str | None = None, num_steps: int | None = None) -> gr.Blocks:
    """The page as `gr.Blocks`, for these GANs, names or paths; None for the bundled ones, the default first. device,
    num_steps: as `Sessions` takes them."""
    sessions = Sessions(gans or zoo.bundled(), device, num_steps)
    with gr.Blocks(title="One-shot parts", analytics_enabled=False, delete_cache=(600, 3600)) as demo:
        gr.HTML(HEADER)
        first = Try(sessions)
        with gr.Row(elem_classes="steps"):
            label = Label(sessions, first.gan)
            teach = Teach(label)
        segment, autoshot = Segment(label, teach), AutoShot(label)
        endpoints.wire(sessions)  # first, so that no handler of the page takes their names
        for step in (label, teach, segment, autoshot):
            step.wire(sessions)
        first.wire(sessions, label)
        settings = [label.seed, label.truncation, label.canvas.fill, teach.network, teach.steps]
        kept.wire(
            demo,
            [*settings, segment.method, autoshot.number],
            {"shots": label.shots.download, "segmenter": teach.download, "autoshot": autoshot.safetensors},
        )
        demo.unload(sessions.close)
    return demo.queue(max_size=QUEUE_LENGTH, default_concurrency_limit=4)


def main() -> None:
    """Serve the page, to this machine only unless a flag opens it to others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--gan", action="append", help="a GAN's name or file to offer; repeat it; the bundled ones if not given"
    )
    parser.add_argument("--host", help="address to listen on; only this machine if not given")
    parser.add_argument("--port", type=int, help="port; the first free one from 7860 if not given")
    parser.add_argument("--share", action="store_true", help="a public address through Gradio's tunnel")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask for these")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps; the best there is if not given")
    parser.add_argument("--num-steps", type=int, help="optimiser steps of projection; as many as usual if not given")
    args = parser.parse_args()
    script = "".join((HERE / name).read_text("utf-8") for name in ("kept.js", "page.js"))
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    try:
        page = build(args.gan, args.device, args.num_steps)
    except ToolkitError as error:
        sys.exit(str(error))
    page.launch(
        server_name=args.host,
        server_port=args.port,
        share=args.share,
        auth=tuple(args.auth.split(":", 1)) if args.auth else None,
        ssr_mode=False,
        max_file_size=MAX_UPLOAD,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        strict_cors=True,
        show_error=False,
        theme=THEME,
        i18n=gr.I18n(en=WORDS),
        css_paths=[HERE / "page.css"],
        head=f"<style>{labeller.style()}{framing.style()}</style><script>{script}</script>",
    )


if __name__ == "__main__":
    main()
