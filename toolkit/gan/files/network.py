"""What every format's reader returns: a network's tensors under our names, not read from the file yet."""

from typing import NamedTuple


class Network(NamedTuple):
    """One network of a file.

    tensors: our name -> `Lazy`; options: settings that tensor shapes do not show (conv_clamp,
    mapping_lr, mbstd_group_size), unless default; derived: names of tensors the file lacks and we generate.
    """

    tensors: dict
    options: dict
    derived: tuple = ()
