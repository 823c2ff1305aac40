"""Embedding backends behind one protocol: the model in process, Ollama, and whatever speaks OpenAI's API."""

from cloudos_memory.embedding.backend import Backend, BackendDown, Matrix, TextRefused
from cloudos_memory.embedding.factory import backend_of

__all__ = ["Backend", "BackendDown", "Matrix", "TextRefused", "backend_of"]
