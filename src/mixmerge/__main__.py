"""``python -m mixmerge`` is the same as ``mixmerge``."""

from mixmerge.cli.main import main

if __name__ == "__main__":
    main()
