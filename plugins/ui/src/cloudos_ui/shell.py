"""The page of the interface and its built files, read once."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

STATIC = Path(__file__).parent / "static"
ASSETS = "/ui/assets/"

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".ftl": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<title>Cloud OS</title>
<link rel="icon" href="{icon}" type="image/svg+xml">
<link rel="stylesheet" href="{style}">
<script src="{early}"></script>
<script type="importmap">{imports}</script>
{preload}
<script type="module" src="{entry}"></script>
</head>
<body>
<div id="app" data-worker="{worker}" data-locales="{locales}"></div>
<noscript><p class="unsupported">Cloud OS needs JavaScript. Allow it for this address, and load again.</p></noscript>
</body>
</html>
"""


@dataclass(frozen=True)
class BuiltFile:
    """A built file, as it is and compressed."""

    content: bytes
    packed: bytes | None
    content_type: str


@dataclass(frozen=True)
class Shell:
    """The page with its policy, and the files by name; empty where nothing was built."""

    page: bytes = b""
    policy: str = ""
    files: Mapping[str, BuiltFile] = field(default_factory=dict)

    @property
    def built(self) -> bool:
        """Tell whether there is a page to show."""
        return bool(self.page)

    @classmethod
    def read(cls, folder: Path = STATIC) -> Shell:
        """Read what the build left in a folder."""
        try:
            manifest = orjson.loads((folder / "manifest.json").read_bytes())
        except OSError:
            return cls(policy=content_policy(""))
        imports = orjson.dumps({"imports": {name: ASSETS + file for name, file in manifest["imports"].items()}})
        locales = orjson.dumps({name: ASSETS + file for name, file in manifest["locales"].items()})
        page = _PAGE.format(
            **{name: ASSETS + manifest[name] for name in ("icon", "style", "early", "entry", "worker")},
            imports=imports.decode(),
            locales=html.escape(locales.decode()),
            preload="\n".join(f'<link rel="modulepreload" href="{ASSETS}{name}">' for name in manifest["preload"]),
        )
        return cls(page.encode(), content_policy(_hash(imports)), _files(folder))


def _files(folder: Path) -> dict[str, BuiltFile]:
    found = {}
    for path in folder.iterdir():
        content_type = content_type_of(path.name)
        if content_type is not None:
            packed = path.with_name(f"{path.name}.gz")
            found[path.name] = BuiltFile(
                path.read_bytes(), packed.read_bytes() if packed.exists() else None, content_type
            )
    return found


def content_type_of(name: str) -> str | None:
    """Return the media type of a file by its ending; None for what is not served."""
    return _TYPES.get(Path(name).suffix)


def _hash(text: bytes) -> str:
    return f" 'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"


def content_policy(script: str) -> str:
    """Return the content security policy: nothing from elsewhere, and no inline script but the import map."""
    return (
        f"default-src 'none'; script-src 'self'{script}; style-src 'self'; img-src 'self' data: blob:; "
        "font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
