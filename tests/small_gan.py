"""The size of the tests' GAN."""

CHANNELS = {4: 16, 8: 16, 16: 8}  # by resolution
