"""`--shutdown_at_exit`: shutting this machine down when a grid has ended."""

import os
import shutil
import subprocess

from lm_eval.common.console import print_safely


def shutdown_command() -> list[str]:
    """Return the command that shuts this machine down."""
    command = [shutil.which("shutdown") or "shutdown", "-h", "now"]
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return command if is_root else ["sudo", "-n", *command]


def shut_down() -> None:
    """Shut this machine down, or say why that isn't possible."""
    command = shutdown_command()
    try:
        status = subprocess.run(command, check=False).returncode  # noqa: S603
    except OSError as error:
        print_safely(f"the machine cannot be shut down: {' '.join(command)}: {error}")
    else:
        if status != 0:
            print_safely(f"the machine was not shut down: {' '.join(command)} ended with status {status}")
