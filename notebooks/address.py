"""Where the project lives: said once, in setup.cfg, and repeated by the notebooks' badges and install cells.

python notebooks/address.py                                  # which address it is, and whether anything is there
python notebooks/address.py https://github.com/OWNER/NAME    # set it, everywhere
"""

import configparser
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
GITHUB = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")  # Colab opens notebooks from there


def address(root=ROOT):
    """The address that setup.cfg says."""
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg", "utf-8")
    return config["metadata"]["url"]


def change(new, root=ROOT):
    """Write another address into setup.cfg and all notebooks.

    Args:
        new: https://github.com/OWNER/NAME.
        root: the folder of setup.cfg and notebooks/.
    Returns:
        Paths of the files that changed.
    Raises:
        ValueError: not such an address.
    """
    new = new.removesuffix("/").removesuffix(".git")
    if not GITHUB.fullmatch(new):
        raise ValueError(f"address: expected https://github.com/OWNER/NAME; got {new!r}. Colab reads no other.")
    old, changed = address(root), []
    for path in (root / "setup.cfg", *sorted((root / "notebooks").glob("*.ipynb"))):
        text = path.read_text("utf-8")
        # Badges name the repository below another host.
        again = text.replace(old, new).replace(f"github/{_slug(old)}/", f"github/{_slug(new)}/")
        if again != text:
            path.write_text(again, "utf-8")
            changed.append(path)
    return changed


def missing(url):
    """Why nothing can be installed from an address, in a few words; None where a page is there."""
    try:
        with urllib.request.urlopen(url, timeout=10):
            return None
    except urllib.error.HTTPError as error:
        return f"HTTP status {error.code}"
    except OSError as error:
        return f"no connection: {getattr(error, 'reason', error)}"


def _slug(url):
    return url.removeprefix("https://github.com/")


def main(arguments):
    """Set the address, or say whether it is there; returns the exit status."""
    if arguments:
        try:
            changed = change(arguments[0])
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        print(f"{address()}: written to {len(changed)} files")
        return 0
    reason = missing(address())
    if reason is None:
        print(f"{address()} is there: badges and install cells work")
        return 0
    print(f"{address()} is not there ({reason}). Set yours: python notebooks/address.py https://github.com/OWNER/NAME")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
