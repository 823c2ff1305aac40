"""The twelve tools, the four resources and the three prompts of the memory."""
