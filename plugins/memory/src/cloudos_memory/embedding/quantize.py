"""The packaged model in a form that computes in int8.

The package keeps the weights as int8 but has all computed in floats. Quantised dynamically, a query takes a quarter of
the time, a note half, and the weights a quarter of the memory. It is made once for a node, in a process of its own,
since it takes 500 MB for some seconds: `python -m cloudos_memory.embedding.quantize <model> <new file>`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
from pathlib import Path

_SECONDS = 300.0


class NotQuantised(Exception):
    """It could not be made; the message is the last that was said."""


async def quantise(source: Path, target: Path) -> None:
    """Quantize `source` into `target`. Raises NotQuantised; no partial `target` remains."""
    command = [sys.executable, "-P", "-m", __name__, str(source), str(target)]
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=null, stdout=null, stderr=pipe)
    try:
        async with asyncio.timeout(_SECONDS):
            _, said = await process.communicate()
    except TimeoutError:
        raise NotQuantised(f"it took longer than {_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines()
        raise NotQuantised(lines[-1][:500] if lines else f"it ended with {process.returncode}")


def _make(source: Path, target: Path) -> None:
    """Make it here and now, beside everything else on the machine."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # where memory runs out, this is what can be spared
    with contextlib.suppress(OSError):
        os.nice(10)
    logging.disable(logging.WARNING)
    scratch = target.with_suffix(".making")
    shutil.rmtree(scratch, ignore_errors=True)  # of one that was killed
    scratch.mkdir(mode=0o700)
    try:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # folds the weights
        options.optimized_model_filepath = str(scratch / "floats.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        # 7 bits of weight, so that processors without VNNI, whose sums have 16 bits, lose nothing either
        made = scratch / "int8.onnx"
        quantize_dynamic(
            scratch / "floats.onnx", made, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
        )
        made.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    _make(Path(sys.argv[1]), Path(sys.argv[2]))
