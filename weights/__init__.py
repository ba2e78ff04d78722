"""Bundled GAN weights, as safetensors; README.md beside this file says how each was made."""
