"""``python -m core``: see core/cli/main.py."""

import os
import sys

from core.cli.main import main

# for bars of libraries that no switch of theirs reaches; read when torch loads tqdm
os.environ.setdefault("TQDM_DISABLE", "1")

if __name__ == "__main__":
    sys.exit(main())
