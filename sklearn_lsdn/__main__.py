"""`python -m sklearn_lsdn`: the `lsdn` command."""

import sys

from ._commands.main import main

sys.exit(main())
