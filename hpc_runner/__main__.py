"""``python -m hpc_runner`` is the command ``hpc-runner``."""

from hpc_runner.cli import main

if __name__ == "__main__":
    main()
