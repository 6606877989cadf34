"""``python -m logbridge``: the same as the command ``logbridge``."""

from logbridge.entrypoints.cli import main

if __name__ == "__main__":
    main()
