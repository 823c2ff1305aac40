"""Print the ratios that the product promises: `make bench`, or `make bench ARGS="request_path app_list"`."""

import asyncio
import importlib
import inspect
import sys
from pathlib import Path

SUPPORT = {"__main__", "load", "memory_host"}
modules = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in SUPPORT)
unknown = set(sys.argv[1:]) - set(modules)
if unknown:
    sys.exit(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(modules)}")
for name in sys.argv[1:] or modules:
    module = importlib.import_module(f"tests.bench.{name}")
    print(f"\n{name}: {module.__doc__.strip().splitlines()[0]}", flush=True)
    result = module.main()
    if inspect.isawaitable(result):
        asyncio.run(result)
