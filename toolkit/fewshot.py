"""The front door: load a GAN, label one picture, fit a segmenter, segment any picture.

gan = load_gan()
sample = gan.sample(seed=7)
shot = Shot(sample, label_map, classes=["background", "eyes", "mouth", "nose"])
segmenter = fit(gan, [shot])
result = segmenter.segment("photo.jpg")
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from toolkit import autoshot
from toolkit.errors import CheckpointError, LabelError, ShapeError, ToolkitError, describe
from toolkit.files import load_tensors, read_metadata, save_tensors
from toolkit.gan.model import GAN, PROJECTION_STEPS, Sample, load_gan  # noqa: F401 the front door shows them
from toolkit.parts import hypercolumns, networks
from toolkit.parts.result import Result
from toolkit.pictures import labels
from toolkit.pictures.uploads import open_rgb

DEFAULT_NETWORK = "mlp"
LEARNING_RATE = WEIGHT_DECAY = 1e-3  # the paper's
NUM_STEPS = {"cnn-l": 100, "cnn-m": 120, "cnn-s": 150, "mlp": 400, "linear": 400}
# Share of F's channels that a step of the fit does without, see `networks.Mix.hide`. What misleads CNNs is where
# things are, not single channels: hiding those only made them slower.
HIDDEN = {"mlp": 0.7, "linear": 0.7}
VIEWS = 16  # of each shot; see `_views`
MIX_FROM = (0.3, 0.5, 0.7)  # shares of the rows of ws that a view keeps
MAX_VIEW_ELEMENTS = 1 << 28  # activations of all views together: 1 GB


class Shot:
    """One picture, the latent that makes it, and a person's labels: all that `fit` needs.

    Args:
        sample: a `Sample` of one picture.
        label_map: (H, W) or (1, H, W) integers, the picture's size; 255 = unlabelled.
        classes: names, background first; label i means classes[i].
        gan: the `GAN` it came from, or its hash; None leaves that unchecked.
    Raises:
        LabelError, ShapeError: labels that nothing can be learned from.
    """

    def __init__(self, sample, label_map, classes, gan=None):
        label_map = torch.as_tensor(label_map)
        label_map = label_map[None] if label_map.dim() == 2 else label_map
        self.classes = tuple(classes)
        labels.check_label_map(label_map, len(self.classes), "Shot")
        if len(sample) != 1 or label_map.shape[0] != 1 or label_map.shape[1:] != sample.image.shape[2:]:
            want = f"one picture and its label_map {tuple(sample.image.shape[2:])}"
            raise ShapeError(
                "Shot",
                want,
                f"{len(sample)} pictures, label_map {describe(label_map)}",
                "Label the picture at its own size",
            )
        self.sample, self.label_map = sample, label_map.long()
        self.gan_hash = getattr(gan, "hash", gan)

    def save(self, path):
        """Write everything to one safetensors file, whole or not at all."""
        save_shots(path, [self])

    @classmethod
    def load(cls, path):
        """Read a file written by `save`.

        Raises:
            CheckpointError: it is not one.
        """
        shots = _load_shots(path, "Shot.load")
        if len(shots) != 1:
            raise CheckpointError("Shot.load", "a file of one shot", f"{len(shots)} shots", "Use load_shots")
        return shots[0]


def save_shots(path, shots):
    """Write several shots to one safetensors file, whole or not at all; of one, what `Shot.save` writes."""
    tensors = {}
    for i, shot in enumerate(shots):
        s = shot.sample
        own = {"image": s.image, "reconstruction": s.reconstruction, "ws": s.ws}
        own |= {f"noise.{name}": n for name, n in s.noise.items()}
        own["label_map"] = shot.label_map.to(torch.uint8)
        tensors |= {f"{i}.{name}": t for name, t in own.items()}
    about = [{"classes": shot.classes, "gan_hash": shot.gan_hash} for shot in shots]
    save_tensors(path, tensors, {"format": "shot", "shots": about})


def load_shots(path):
    """Read a file written by `save_shots` or `Shot.save`: a list of `Shot`.

    Raises:
        CheckpointError: it is not one.
    """
    return _load_shots(path, "load_shots")


def _load_shots(path, call):
    t, meta = load_tensors(path, "shot", call)
    shots = []
    try:
        for i, about in enumerate(meta["shots"]):
            own = {name.removeprefix(f"{i}."): tensor for name, tensor in t.items() if name.startswith(f"{i}.")}
            noise = {name.removeprefix("noise."): n for name, n in own.items() if name.startswith("noise.")}
            sample = Sample(own["image"], own["ws"], noise, own["reconstruction"])
            shots.append(Shot(sample, own["label_map"].long(), about["classes"], about["gan_hash"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(call, "a whole shot file", f"{path} without {error}", "Save it again") from error
    return shots


def save_sample(path, sample, gan):
    """Write pictures, their latents and what those make to one safetensors file, whole or not at all.

    Args:
        path: the file; its folder is created.
        sample: a `Sample`, as `GAN.project` gives it.
        gan: the `GAN` whose latents they are.
    """
    tensors = {"image": sample.image, "reconstruction": sample.reconstruction, "ws": sample.ws}
    tensors |= {f"noise.{name}": n for name, n in sample.noise.items()}
    tensors |= {} if sample.trust is None else {"trust": sample.trust}
    save_tensors(path, tensors, {"format": "sample", "gan": gan.metadata.get("name"), "gan_hash": gan.hash})


def load_sample(path, gan):
    """Read a file written by `save_sample`, to label or to segment what is in it.

    Args:
        path: the file.
        gan: the `GAN` whose latents they are.
    Returns:
        `Sample`, without frames.
    Raises:
        CheckpointError: not such a file, or latents of another GAN.
    """
    t, meta = load_tensors(path, "sample", "load_sample")
    if meta["gan_hash"] != gan.hash:
        raise CheckpointError(
            "load_sample",
            f"latents of GAN {gan.hash[:12]}",
            f"those of {meta['gan_hash'][:12]}",
            "Load the GAN they were made with, or project the picture again",
        )
    t = {name: tensor.to(gan.device) for name, tensor in t.items()}
    noise = {name.removeprefix("noise."): n for name, n in t.items() if name.startswith("noise.")}
    return Sample(t["image"], t["ws"], noise, t["reconstruction"], t.get("trust"))


def fit(gan, shots, *, network=DEFAULT_NETWORK, num_steps=None, seed=0, progress=False):
    """Teach a small network the labels of a few pictures.

    Args:
        gan, shots, network, num_steps, seed: as `fitting` takes them.
        progress: show a bar.
    Returns:
        `Segmenter`.
    Raises:
        ToolkitError, LabelError, CheckpointError: as `fitting`.
    """
    steps = fitting(gan, shots, network=network, num_steps=num_steps, seed=seed)
    with tqdm(desc="fit", unit="step", disable=not progress) as bar:
        for done, bar.total, _, segmenter in steps:  # noqa: B007 the last one is returned
            bar.update(done - bar.n)
    return segmenter


def fitting(gan, shots, *, network=DEFAULT_NETWORK, num_steps=None, seed=0, every=10):
    """Fit step by step: a generator, to watch the loss fall and to stop at will.

    Args:
        gan: the `GAN` the shots came from.
        shots: one or more `Shot`, all with the same classes.
        network: "cnn-l", "cnn-m", "cnn-s", "mlp" or "linear".
        num_steps: optimiser steps, >= 1; None for the network's own number.
        seed: of the initial weights and the noise; the same seed gives the same segmenter.
        every: steps between two results.
    Yields:
        (done, num_steps, loss, `Segmenter`): steps so far and in all, the last step's cross-entropy, and
        the segmenter as it stands. The last one is the result.
    Raises:
        ToolkitError: no shots, or an unknown network. LabelError: shots that do not agree on their
        classes, or label only one. CheckpointError: a shot of another GAN.
    Source: Tritrong et al. 2021, sec. 3.2 (arXiv:2103.04379); differs: channels are standardised and, in
        fitting, hidden at random, the learning rate falls along a cosine, and each shot is seen in several
        looks (see `_views`).
    """
    shots = list(shots)
    check_shots(gan, shots, num_steps)
    classes = shots[0].classes
    label_map = torch.cat([shot.label_map for shot in shots]).to(gan.device)
    rng = torch.Generator(gan.device).manual_seed(seed)
    views = _views(gan, shots, rng)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = networks.build(network, views[0].channels, len(classes)).to(gan.device)
    mix = networks.mix_of(net)
    mix.standardise(*gan.statistics)
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    num_steps = num_steps or NUM_STEPS[network]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    segmenter = Segmenter(gan, net, network, classes)
    for step in range(num_steps):
        mix.hide(HIDDEN.get(network, 0), rng)
        loss = F.cross_entropy(net(views[step % len(views)]), label_map, ignore_index=labels.IGNORE_INDEX)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        mix.hide(0)  # whoever looks at the segmenter now sees it whole
        if step + 1 == num_steps:
            net.eval().requires_grad_(False)
        if step + 1 == num_steps or (step + 1) % every == 0:
            yield step + 1, num_steps, loss.item(), segmenter


def _views(gan, shots, rng):
    """Hypercolumns of the shots as they are, and of the same parts in other looks.

    A view keeps the first rows of ws, which place the parts, draws the later ones, which colour them,
    anew, and changes the noise. The labels still hold, and what they teach is the part and not the
    colour of one person's hair.
    """
    size = sum(a.numel() for a in gan.hypercolumns(shots[0].sample).activations.values()) * len(shots)
    views = [hypercolumns.cat([gan.hypercolumns(shot.sample) for shot in shots])]
    for i in range(1, max(1, min(VIEWS, MAX_VIEW_ELEMENTS // size))):
        rows = round(MIX_FROM[i % len(MIX_FROM)] * gan.generator.num_ws)
        looks = gan.generator.mapping(torch.randn(len(shots), gan.generator.z_dim, generator=rng, device=gan.device))
        mixed = [torch.cat([s.sample.ws[:, :rows], w[None, rows:]], 1) for s, w in zip(shots, looks, strict=True)]
        samples = [Sample(s.sample.image, ws) for s, ws in zip(shots, mixed, strict=True)]
        views.append(hypercolumns.cat([gan.hypercolumns(sample, "random", rng) for sample in samples]))
    return views


def check_shots(gan, shots, num_steps=None):
    """Refuse what `fit` cannot learn from: no shots, shots of another GAN or size, or of different classes.

    Raises: as `fitting`.
    """
    if not shots or (num_steps is not None and num_steps < 1):
        raise ToolkitError(
            "fit",
            "at least one shot and num_steps >= 1",
            f"{len(shots)} shots, num_steps {num_steps}",
            "Label a picture first",
        )
    for shot in shots:
        if shot.gan_hash not in (None, gan.hash):
            raise CheckpointError(
                "fit",
                f"shots of GAN {gan.hash[:12]}",
                f"a shot of GAN {shot.gan_hash[:12]}",
                "Load the GAN the shot was made with, or project its picture again",
            )
        if shot.classes != shots[0].classes:
            raise LabelError(
                "fit",
                f"shots with classes {shots[0].classes}",
                shot.classes,
                "Label all shots with the same classes in the same order",
            )
        if shot.sample.image.shape[2:] != (gan.resolution, gan.resolution):
            raise ShapeError(
                "fit", f"shots of {gan.resolution} pixels", describe(shot.sample.image), "Make the shot with this GAN"
            )


class Segmenter:
    """A few-shot segmenter and the GAN it reads. Make one with `fit` or `Segmenter.load`."""

    def __init__(self, gan, network, network_name, classes):
        self.gan, self.network, self.network_name, self.classes = gan, network, network_name, tuple(classes)
        self.palette = labels.default_palette(len(self.classes))

    @torch.no_grad()
    def predict(self, sample, batch_size=16):
        """Segment pictures whose latents are known.

        Args:
            sample: `Sample` of N pictures.
        Returns:
            logits (N, K, R, R).
        """
        parts = [sample[i : i + batch_size] for i in range(0, len(sample), batch_size)]
        return torch.cat([networks.label(self.network, self.gan.hypercolumns(part)) for part in parts])

    def segment(self, source, **options):
        """Project pictures into the GAN, then segment them.

        Args:
            source: what `GAN.project` takes, or a `Sample`; a list gives a list.
            options: of `GAN.project`.
        Returns:
            `Result`, or a list of them.
        """
        if isinstance(source, Sample):
            sample, uploads = source, [None] * len(source)
        else:
            sources, uploads = _opened(source)
            sample = self.gan.project(sources, **options)
        results = self._results(sample, uploads)
        return results if isinstance(source, (list, tuple)) or len(results) > 1 else results[0]

    def segmenting(self, source, **options):
        """Segment step by step: a generator, to show pictures and parts forming; closing it stops the work.

        Args:
            source, options: as `GAN.projecting` takes them.
        Yields:
            (done, total, list of `Result`): picture-steps so far and in all; the last list is the result.
        """
        sources, uploads = _opened(source)
        for done, total, sample in self.gan.projecting(sources, **options):
            yield done, total, self._results(sample, uploads)

    def _results(self, sample, uploads):
        return [
            Result(
                one.image[0],
                label_map,
                self.classes,
                self.palette,
                one.reconstruction[0],
                float(one.psnr),
                trust=None if one.trust is None else float(one.trust),
                frame=one.frames[0] if one.frames else None,
                full_image=upload,
            )
            for one, label_map, upload in zip(
                map(sample.__getitem__, range(len(sample))), self.predict(sample).argmax(1), uploads, strict=True
            )
        ]

    def autoshot(self, num_images=5000, **options):
        """Distil what this segmenter knows into a network that needs no GAN.

        Args:
            num_images: generated pictures to learn from.
            options: of `autoshot.distil`.
        Returns:
            `AutoShotSegmenter`.
        """
        return autoshot.distil(self, num_images, **options)

    def save(self, path):
        """Write the network, its classes and its GAN's name to one safetensors file."""
        meta = {
            "format": "segmenter",
            "network": self.network_name,
            "classes": self.classes,
            "gan": self.gan.metadata.get("name"),
            "gan_hash": self.gan.hash,
            "class_index": self.gan.class_index,
        }
        save_tensors(path, self.network.state_dict(), meta)

    @classmethod
    def load(cls, path, gan=None, device="cpu"):
        """Read a file written by `save`.

        Args:
            gan: the `GAN` it was fitted on; None loads the one the file names.
        Raises:
            CheckpointError: not such a file, or a segmenter of another GAN.
        """
        tensors, meta = load_tensors(path, "segmenter", "Segmenter.load")
        gan = gan or load_gan(meta["gan"], device, meta.get("class_index"))
        if gan.hash != meta["gan_hash"]:
            raise CheckpointError(
                "Segmenter.load",
                f"GAN {meta['gan_hash'][:12]}",
                f"GAN {gan.hash[:12]}",
                "Load the GAN this segmenter was fitted on",
            )
        channels = gan.hypercolumns(gan.sample()).channels
        net = networks.build(meta["network"], channels, len(meta["classes"]))
        net.load_state_dict(tensors)
        return cls(gan, net.to(gan.device).eval().requires_grad_(False), meta["network"], meta["classes"])


def load_segmenter(path, device="cpu"):
    """Read a segmenter of either kind, as the file says: a `Segmenter` or an `AutoShotSegmenter`.

    Raises:
        CheckpointError: neither, or a segmenter whose GAN cannot be loaded.
    """
    kind = read_metadata(path, ("segmenter", "autoshot"), "load_segmenter")["format"]
    return (Segmenter if kind == "segmenter" else autoshot.AutoShotSegmenter).load(path, device=device)


def _opened(source):
    """A list of what was passed, files opened, and which upload each picture is (None: a tensor's)."""
    sources = source if isinstance(source, (list, tuple)) else [source]
    sources = [s if isinstance(s, Tensor) else open_rgb(s, "segment") for s in sources]
    return sources, [u for s in sources for u in ([None] * len(s) if isinstance(s, Tensor) else [s])]
