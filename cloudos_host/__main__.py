"""The program `cloudos`, also `python -m cloudos_host`."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line; garbage collection is off during imports, which it would only slow down."""
    gc.disable()
    from cloudos_host.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
