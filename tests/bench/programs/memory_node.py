"""As `mcp_node.py`, with the model in process: `memory_node.py <data> <file of the key>`."""

from __future__ import annotations

import mcp_node

from cloudos_host.config import Config, HostSettings


def main():
    settings = {"memory": {"keys": {"bcrypt_cost": 4}}}
    config = Config(HostSettings(data_dir=mcp_node.DATA, port=0, required=(), log_level="error"), settings, "the bench")
    mcp_node.run_node(config)


if __name__ == "__main__":
    main()
