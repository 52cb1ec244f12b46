"""``python -m review``: see review/cli.py."""

import sys

from review.cli import main

if __name__ == "__main__":
    sys.exit(main())
