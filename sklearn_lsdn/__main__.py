"""`python -m sklearn_lsdn`: the `lsdn` command."""

import sys

from .cli import main

sys.exit(main())
