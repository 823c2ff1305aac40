"""The program `cloudos`, also `python -m cloudos_host`."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line, imported without looking for garbage in vain: what is imported stays."""
    gc.disable()
    from cloudos_host.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
