"""`python -m toolkit`, in this process: a new Python takes seconds to import torch before it does anything.

What only a process of its own can show (that it starts, is killed, shares a folder) is tested with real ones.
"""

import contextlib
import io
import os
import sys
import warnings
from subprocess import CompletedProcess

from toolkit.__main__ import main


def run(*arguments, cwd=".", **environment):
    """Run a command in a folder, with what the environment says besides.

    Returns:
        As `subprocess.run` with captured text: returncode, stdout, stderr.
    """
    out, err = io.StringIO(), io.StringIO()
    before, argv, folder = dict(os.environ), sys.argv, os.getcwd()
    code = 0
    with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        warnings.showwarning = lambda *said, **_: err.write(warnings.formatwarning(*said[:4]))
        try:
            sys.argv = ["toolkit", *map(str, arguments)]
            os.environ.update(environment)
            os.chdir(cwd)
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            os.chdir(folder)
            sys.argv = argv
            os.environ.clear()
            os.environ.update(before)
    return CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())
