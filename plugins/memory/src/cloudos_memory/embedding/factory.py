"""Which backend the settings ask for."""

from __future__ import annotations

from pathlib import Path

from cloudos_memory.embedding.backend import Backend
from cloudos_memory.settings import EmbeddingSettings


def backend_of(settings: EmbeddingSettings, folder: Path | None = None) -> Backend | None:
    """Return the configured backend, or None if embedding is off. Loads and calls nothing.

    `folder` is where a backend keeps files of its own.
    """
    match settings.backend:
        case "off":
            return None
        case "onnx":
            from cloudos_memory.embedding.minilm import MiniLM

            return MiniLM(folder)
        case "ollama":
            from cloudos_memory.embedding.remote import Ollama

            return Ollama(settings)
        case "openai":
            from cloudos_memory.embedding.remote import OpenAICompatible

            return OpenAICompatible(settings)
