"""`python -m liveroom` is the command line."""

from liveroom.cli import main

if __name__ == "__main__":
    main()
