"""The reading of sources sees what it must: a rule that sees nothing would always be kept."""

from architecture.sources import package

FILES = {
    "routes.py": "from cloudos_bad.models import Row\n",
    "jobs.py": "def run():\n    from . import plugin\n",
    "models.py": "class Row: ...\n",
    "plugin.py": "",
    "service.py": "import cloudos_host.http.app\nNAME = 'cloudos_other.plugin'\n",
    "engine.py": "from cloudos_bad import lines\n\ndef call():\n    import docker\n",
    "lines.py": "import re\n",
    "billing.py": "import requests\nfrom cloudos_bad.models import Row\n",
    "wire/__init__.py": "from .frames import Frame\n",
    "wire/frames.py": "from ..engine import call\nfrom cloudos_bad.wire.deep.ring import Ring\nimport subprocess\n",
    "wire/deep/ring.py": "from cloudos_bad.wire import frames\n",
    "migrations/0001_initial.py": "from cloudos_other import x\n",
}


def bad(tmp_path):
    folder = tmp_path / "src" / "cloudos_bad"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return {module.path.relative_to(folder).as_posix(): module for module in package(folder)}


def test_imports_are_seen_wherever_they_stand(tmp_path):
    modules = bad(tmp_path)
    assert modules["routes.py"].neighbours == {"models"}
    assert modules["jobs.py"].neighbours == {"plugin"}, "relative, and inside a function"
    assert modules["service.py"].roots == {"cloudos_host"}
    assert modules["service.py"].strings == {"cloudos_other.plugin"}
    assert modules["wire/frames.py"].neighbours == {"engine", "wire/deep"}
    assert modules["wire/__init__.py"].neighbours == set(), "its own folder is no neighbour"
    assert modules["wire/deep/ring.py"].neighbours == {"wire"}
    assert [modules[name].room for name in ("engine.py", "wire/frames.py", "wire/deep/ring.py")] == [
        "engine", "wire", "wire/deep",
    ]  # fmt: skip
    assert modules["engine.py"].outside == {"docker"}
    assert "migrations/0001_initial.py" not in modules
