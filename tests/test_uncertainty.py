import torch

from toolkit.parts import uncertainty


def test_entropy_is_one_where_all_is_equal_and_nothing_where_all_is_sure():
    logits = torch.zeros(1, 5, 2, 1)
    logits[0, 3, 1] = 1000.0
    assert torch.allclose(uncertainty.entropy(logits), torch.tensor([[[1.0], [0.0]]]), atol=1e-6)


def test_entropy_of_two_classes_in_closed_form():
    p = torch.tensor([0.1, 0.25, 0.5])
    logits = torch.stack([p.log(), (1 - p).log()])[None, :, None]
    expected = -(p * p.log2() + (1 - p) * (1 - p).log2())
    assert torch.allclose(uncertainty.entropy(logits)[0, 0], expected, atol=1e-6)


class Doubtful:
    """A segmenter that doubts bright pictures."""

    def __init__(self, gan):
        self.gan = gan

    def predict(self, sample):
        sure = 10 * (1 - sample.image.mean((1, 2, 3)))
        logits = torch.zeros(len(sample), 3, *sample.image.shape[2:])
        logits[:, 0] = sure[:, None, None]
        return logits


def test_the_picture_of_the_highest_mean_entropy_is_next(tiny_gan):
    sample, unsure = uncertainty.next_to_label(Doubtful(tiny_gan), num=12, seed=3)
    candidates = tiny_gan.sample(3, 12)
    brightest = candidates.image.mean((1, 2, 3)).argmax()
    assert len(sample) == 1 and torch.equal(sample.image[0], candidates.image[brightest])
    assert torch.equal(sample.ws[0], candidates.ws[brightest])
    assert unsure.shape == (16, 16) and 0 <= unsure.min() <= unsure.max() <= 1
