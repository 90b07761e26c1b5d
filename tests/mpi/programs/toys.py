"""`toys.py ARGV...`: the command line `batchgnn ARGV...`, with a row more of modes and tasks."""

import toy_mode
import toy_task

from batchgnn.cli import main

if __name__ == "__main__":
    with toy_mode.registered(), toy_task.registered():
        main()
