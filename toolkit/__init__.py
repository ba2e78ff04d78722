"""One-shot part segmentation by repurposing a GAN: start with `from toolkit import fewshot`."""
