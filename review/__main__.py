"""``python -m review``: see review/cli/main.py."""

import sys

from review.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
