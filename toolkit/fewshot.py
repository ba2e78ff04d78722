"""The front door: load a GAN, label one picture, fit a segmenter, segment any picture.

gan = load_gan()
sample = gan.sample(seed=7)
shot = Shot(sample, label_map, classes=["background", "eyes", "mouth", "nose"])
segmenter = fit(gan, [shot])
result = segmenter.segment("photo.jpg")
"""

import json
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from toolkit import hypercolumns, images, labels, metrics, segmenters
from toolkit.errors import CheckpointError, LabelError, ShapeError, ToolkitError, describe
from toolkit.files import replace_when_done
from toolkit.gan import zoo
from toolkit.gan.checkpoints import load_discriminator, load_generator
from toolkit.projector import project

DEFAULT_NETWORK = "mlp"
LEARNING_RATE = WEIGHT_DECAY = 1e-3  # the paper's
NUM_STEPS = {"cnn-l": 100, "cnn-m": 120, "cnn-s": 150, "mlp": 200, "linear": 200}
VIEWS = 16  # of each shot; see `_views`
MIX_FROM = (0.3, 0.5, 0.7)  # shares of the rows of ws that a view keeps
MAX_VIEW_ELEMENTS = 1 << 28  # activations of all views together: 1 GB
PROJECTION_STEPS = 150


@dataclass
class Sample:
    """N pictures and the latents that (nearly) make them.

    image: (N, 3, R, R) in [-1, 1], what a person labels; ws: (N, num_ws, w_dim);
    noise: layer name -> (N, 1, h, h); empty for the generator's own, as in pictures it made up;
    reconstruction: (N, 3, R, R), what ws synthesises: image itself when it was generated.
    """

    image: Tensor
    ws: Tensor
    noise: dict = field(default_factory=dict)
    reconstruction: Tensor | None = None

    def __post_init__(self):
        if self.reconstruction is None:
            self.reconstruction = self.image

    def __len__(self):
        return len(self.image)

    def __getitem__(self, index):
        """Some of the pictures: an int (N becomes 1) or a slice."""
        index = slice(index, index + 1 or None) if isinstance(index, int) else index
        noise = {name: n[index] for name, n in self.noise.items()}
        return Sample(self.image[index], self.ws[index], noise, self.reconstruction[index])

    @property
    def psnr(self):
        """(N,) decibels between picture and reconstruction; infinite for generated pictures."""
        return metrics.psnr(self.image, self.reconstruction)


class GAN:
    """A generator with what this method asks of it. Make one with `load_gan`."""

    def __init__(self, generator, discriminator=None):
        self.generator, self.discriminator = generator, discriminator
        self.resolution, self.metadata, self.hash = generator.resolution, generator.metadata, generator.hash

    @property
    def device(self):
        """Where the generator's parameters are."""
        return self.generator.mapping.w_avg.device

    @torch.no_grad()
    def sample(self, seed=0, num=1, truncation_psi=0.7):
        """Generate pictures.

        Args:
            seed: of z; the same seed gives the same pictures.
            num: how many, >= 1.
            truncation_psi: 1 for all the GAN knows, towards 0 for its average picture.
        Returns:
            `Sample` of num pictures.
        """
        z = torch.randn(num, self.generator.z_dim, generator=torch.Generator().manual_seed(seed))
        ws = self.generator.mapping(z.to(self.device), truncation_psi=truncation_psi)
        image = torch.cat([self.generator.synthesis(w).clamp(-1, 1) for w in ws.split(16)])
        return Sample(image, ws)

    def project(self, source, *, num_steps=PROJECTION_STEPS, **options):
        """Find the latents that make given pictures.

        Args:
            source: whatever `images.load_image` takes, or a list of such, or (N, 3, R, R) in [-1, 1].
            num_steps: optimiser steps, >= 1.
            options: of `projector.project`.
        Returns:
            `Sample`; its `psnr` says how well the GAN could do.
        """
        sources = source if isinstance(source, (list, tuple)) else [source]
        image = torch.cat([images.load_image(s, self.resolution) for s in sources]).to(self.device)
        found = project(self.generator, image, discriminator=self.discriminator, num_steps=num_steps, **options)
        return Sample(image, found.ws, found.noise, found.image)

    def hypercolumns(self, sample, noise_mode="const", rng=None):
        """What the generator knows about each pixel of a sample: lazy `Hypercolumns`, detached."""
        noise = sample.noise if noise_mode == "const" and sample.noise else None
        return hypercolumns.from_generator(self.generator, sample.ws, noise_mode, noise, rng=rng)[1]

    @cached_property
    def statistics(self):
        """Mean and std of every hypercolumn channel, (C,) each, over generated pictures."""
        return self.hypercolumns(self.sample(seed=0, num=128, truncation_psi=1.0)).mean_std()


def load_gan(name=zoo.DEFAULT, device="cpu"):
    """Load a GAN by name, or from a file.

    Args:
        name: a bundled name, or the path of a weights file.
        device: where to put it.
    Returns:
        `GAN`.
    Raises:
        ToolkitError: unknown name. CheckpointError: a file that is not a GAN we can read.
    """
    path = zoo.weights_path(name)
    return GAN(load_generator(path, device), load_discriminator(path, device))


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
            raise ShapeError("Shot", want, f"{len(sample)} pictures, label_map {describe(label_map)}",
                             "Label the picture at its own size")  # fmt: skip
        self.sample, self.label_map = sample, label_map.long()
        self.gan_hash = getattr(gan, "hash", gan)

    def save(self, path):
        """Write everything to one safetensors file, whole or not at all."""
        s = self.sample
        tensors = {"image": s.image, "reconstruction": s.reconstruction, "ws": s.ws}
        tensors |= {f"noise.{name}": n for name, n in s.noise.items()}
        tensors["label_map"] = self.label_map.to(torch.uint8)
        _save(path, tensors, {"format": "shot", "classes": self.classes, "gan_hash": self.gan_hash})

    @classmethod
    def load(cls, path):
        """Read a file written by `save`.

        Raises:
            CheckpointError: it is not one.
        """
        t, meta = _load(path, "shot", "Shot.load")
        noise = {name.removeprefix("noise."): n for name, n in t.items() if name.startswith("noise.")}
        sample = Sample(t["image"], t["ws"], noise, t["reconstruction"])
        return cls(sample, t["label_map"].long(), meta["classes"], meta["gan_hash"])


def fit(gan, shots, *, network=DEFAULT_NETWORK, num_steps=None, seed=0, progress=False):
    """Teach a small network the labels of a few pictures.

    Args:
        gan: the `GAN` the shots came from.
        shots: one or more `Shot`, all with the same classes.
        network: "cnn-l", "cnn-m", "cnn-s", "mlp" or "linear".
        num_steps: optimiser steps, >= 1; None for the network's own number.
        seed: of the initial weights and the noise; the same seed gives the same segmenter.
        progress: show a bar.
    Returns:
        `Segmenter`.
    Raises:
        ToolkitError: no shots, or an unknown network. LabelError: shots that do not agree on their
        classes, or label only one. CheckpointError: a shot of another GAN.
    Source: Tritrong et al. 2021, sec. 3.2 (arXiv:2103.04379); differs: channels are standardised, the
        learning rate falls along a cosine, and each shot is seen in several looks (see `_views`).
    """
    shots = list(shots)
    _check_shots(gan, shots, num_steps)
    classes = shots[0].classes
    label_map = torch.cat([shot.label_map for shot in shots]).to(gan.device)
    rng = torch.Generator(gan.device).manual_seed(seed)
    views = _views(gan, shots, rng)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = segmenters.build(network, views[0].channels, len(classes)).to(gan.device)
    segmenters.mix_of(net).standardise(*gan.statistics)
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    num_steps = num_steps or NUM_STEPS[network]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for step in tqdm(range(num_steps), desc="fit", unit="step", disable=not progress):
        loss = F.cross_entropy(net(views[step % len(views)]), label_map, ignore_index=labels.IGNORE_INDEX)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return Segmenter(gan, net.eval().requires_grad_(False), network, classes)


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


def _check_shots(gan, shots, num_steps):
    if not shots or (num_steps is not None and num_steps < 1):
        raise ToolkitError("fit", "at least one shot and num_steps >= 1",
                           f"{len(shots)} shots, num_steps {num_steps}", "Label a picture first")  # fmt: skip
    for shot in shots:
        if shot.gan_hash not in (None, gan.hash):
            raise CheckpointError("fit", f"shots of GAN {gan.hash[:12]}", f"a shot of GAN {shot.gan_hash[:12]}",
                                  "Load the GAN the shot was made with, or project its picture again")  # fmt: skip
        if shot.classes != shots[0].classes:
            raise LabelError("fit", f"shots with classes {shots[0].classes}", shot.classes,
                             "Label all shots with the same classes in the same order")  # fmt: skip
        if shot.sample.image.shape[2:] != (gan.resolution, gan.resolution):
            raise ShapeError("fit", f"shots of {gan.resolution} pixels", describe(shot.sample.image),
                             "Make the shot with this GAN")  # fmt: skip


@dataclass
class Result:
    """One segmented picture. label_map (H, W) int64; image, reconstruction (3, H, W) in [-1, 1]."""

    image: Tensor
    reconstruction: Tensor
    label_map: Tensor
    psnr: float
    classes: tuple
    palette: object

    def overlay(self, alpha=0.5):
        """The picture with its parts tinted, as a PIL image."""
        return labels.overlay(self.image[None], self.label_map[None], self.palette, alpha)

    def save_png(self, path):
        """Write the label map as an indexed PNG with its palette."""
        labels.save_label_png(path, self.label_map, self.palette)


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
        return torch.cat([self.network(self.gan.hypercolumns(part)) for part in parts])

    def segment(self, source, **options):
        """Project pictures into the GAN, then segment them.

        Args:
            source: what `GAN.project` takes, or a `Sample`; a list gives a list.
            options: of `GAN.project`.
        Returns:
            `Result`, or a list of them.
        """
        sample = source if isinstance(source, Sample) else self.gan.project(source, **options)
        label_maps = self.predict(sample).argmax(1)
        results = [
            Result(*picture, float(psnr), self.classes, self.palette)
            for *picture, psnr in zip(sample.image, sample.reconstruction, label_maps, sample.psnr, strict=True)
        ]
        return results if isinstance(source, (list, tuple)) or len(results) > 1 else results[0]

    def save(self, path):
        """Write the network, its classes and its GAN's name to one safetensors file."""
        meta = {"format": "segmenter", "network": self.network_name, "classes": self.classes,
                "gan": self.gan.metadata.get("name"), "gan_hash": self.gan.hash}  # fmt: skip
        _save(path, self.network.state_dict(), meta)

    @classmethod
    def load(cls, path, gan=None, device="cpu"):
        """Read a file written by `save`.

        Args:
            gan: the `GAN` it was fitted on; None loads the one the file names.
        Raises:
            CheckpointError: not such a file, or a segmenter of another GAN.
        """
        tensors, meta = _load(path, "segmenter", "Segmenter.load")
        gan = gan or load_gan(meta["gan"], device)
        if gan.hash != meta["gan_hash"]:
            raise CheckpointError("Segmenter.load", f"GAN {meta['gan_hash'][:12]}", f"GAN {gan.hash[:12]}",
                                  "Load the GAN this segmenter was fitted on")  # fmt: skip
        channels = gan.hypercolumns(gan.sample()).channels
        net = segmenters.build(meta["network"], channels, len(meta["classes"]))
        net.load_state_dict(tensors)
        return cls(gan, net.to(gan.device).eval().requires_grad_(False), meta["network"], meta["classes"])


def _save(path, tensors, metadata):
    with replace_when_done(path) as temporary:
        tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
        save_file(tensors, temporary, {"toolkit": json.dumps(metadata)})


def _load(path, kind, call):
    try:
        with safe_open(path, "pt") as file:
            meta = json.loads((file.metadata() or {}).get("toolkit", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(call, f"a {kind} file", f"{path} ({error})", "Check the path") from error
    if meta.get("format") != kind:
        raise CheckpointError(call, f"a {kind} file", f"a file of another kind at {path}", "Check the path")
    return tensors, meta
