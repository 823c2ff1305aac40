"""The scaffold: `cloudos-plugin new <id>` writes a plugin that works, to be changed into another."""
