"""`python -m batchgnn` is the command line."""

from batchgnn.cli import main

if __name__ == "__main__":
    main()
