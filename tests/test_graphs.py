"""CUDA graphs, without CUDA: who is asked for them; and the stand-in that shows their traps to other tests."""

import contextlib

import pytest
import torch
from cuda_graphs import replayed
from torch import nn

from toolkit.gan.stylegan2 import Discriminator, Generator
from toolkit.training.graphs import Draw, Judge, graphed

CHANNELS = {4: 4, 8: 4}


def test_on_a_cpu_a_module_stays_what_it_is():
    module, forward = nn.Linear(2, 1), nn.Linear.forward
    assert graphed(module, torch.randn(3, 2)) is module
    assert module.forward.__func__ is forward


def test_on_cuda_torch_makes_the_graphs(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext(asked.append(device)))
    monkeypatch.setattr(
        torch.cuda, "make_graphed_callables", lambda *args, **options: asked.append((args, options)) or "graphs"
    )
    module, samples = nn.Bilinear(2, 2, 1), (torch.randn(3, 2), torch.randn(3, 2))
    assert graphed(module, *samples) == "graphs"
    assert asked == [torch.device("cpu"), ((module, samples), {"allow_unused_input": True})]


def test_wrappers_answer_as_the_networks_and_leave_their_forward_alone():
    generator, discriminator = Generator(8, 4, 4, CHANNELS, 1), Discriminator(8, CHANNELS)
    ws = torch.randn(4, generator.num_ws, 4)
    for layer in generator.synthesis.layers().values():
        layer.noise_strength.data.fill_(0.5)
    draw, judge = Draw(generator.synthesis, torch.float32), Judge(discriminator)
    torch.manual_seed(0)
    image = replayed(draw, ws)(ws)
    torch.manual_seed(0)
    assert torch.equal(image, generator.synthesis(ws, noise_mode="random"))
    assert torch.equal(replayed(judge, image)(image), discriminator(image))
    assert discriminator.forward.__func__ is Discriminator.forward


# ---- the stand-in has the traps --------------------------------------------------------------
def test_an_output_is_overwritten_by_the_next_call():
    module = replayed(nn.Linear(2, 2), torch.randn(3, 2))
    first = module(torch.zeros(3, 2))
    before = first.clone()
    module(torch.ones(3, 2))
    assert not torch.equal(first, before)


def test_a_backward_pass_is_that_of_the_last_call():
    module = replayed(nn.Linear(1, 1, bias=False), torch.randn(1, 1))
    loss = module(torch.full((1, 1), 2.0)).sum()
    with torch.no_grad():
        module(torch.full((1, 1), 3.0))
    loss.backward()
    assert float(module.weight.grad) == 3.0


def test_gradients_go_where_they_did_at_the_capture():
    module, x = nn.Linear(2, 1).requires_grad_(False), torch.randn(3, 2, requires_grad=True)
    replayed(module, x).requires_grad_(True)
    module(x).sum().backward()
    assert module.weight.grad is None and torch.equal(x.grad, module.weight.detach().expand(3, 2))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="captured"):
        replayed(nn.Linear(2, 1), torch.randn(3, 2))(torch.randn(4, 2))
