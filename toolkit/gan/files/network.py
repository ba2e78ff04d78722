"""What every format's reader hands over: a network's tensors by our names, still in their file."""

from typing import NamedTuple


class Network(NamedTuple):
    """One network of a file.

    tensors: our name -> `Lazy`; options: what tensors cannot tell (conv_clamp, mapping_lr,
    mbstd_group_size), where it is not the default; derived: names of tensors the file lacks and we made.
    """

    tensors: dict
    options: dict
    derived: tuple = ()
