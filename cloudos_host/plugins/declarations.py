"""Checks of what a plugin declares: hooks, manifest, jobs and blueprints. Each raises InvalidPlugin with a sentence."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from cloudos_sdk import Event, Feature, Job, Manifest, Permission, PluginSettings, hooks
from cloudos_sdk.manifest import Component
from cloudos_sdk.plans import PLANS

_HOOKS = {name for name in vars(hooks) if name.startswith("cloudos_")}
_LEAST_INTERVAL = timedelta(seconds=1)
_KINDS: dict[str, type[Any]] = {"permissions": Permission, "features": Feature, "components": Component}


class InvalidPlugin(Exception):
    """The plugin breaks the contract; the message says where."""


def check_hooks(names: Mapping[str, Any]) -> None:
    """Refuse functions of a plugin's module that look like hooks and are none: misspelt, or without their mark."""
    for name, value in names.items():
        if not name.startswith("cloudos_") or not inspect.isroutine(value):
            continue
        if name not in _HOOKS:
            like = difflib.get_close_matches(name, _HOOKS, 1)
            raise InvalidPlugin(f"{name} is no hook" + (f"; did you mean {like[0]}?" if like else ""))
        if not hasattr(value, "cloudos_impl"):
            raise InvalidPlugin(f"{name} is not marked with @hookimpl, so that it is never called")


def check_manifest(manifest: Manifest) -> None:
    """Refuse a manifest whose fields are not what they should be."""
    if not isinstance(manifest.title, str) or not manifest.title.strip():
        raise InvalidPlugin("its manifest has no title")
    for field in ("prefixes", "shares"):
        given = getattr(manifest, field)
        if not isinstance(given, tuple) or not all(isinstance(path, str) for path in given):
            raise InvalidPlugin(f'its manifest\'s `{field}` is not a tuple of paths, such as ("/api/x",)')
    if not (isinstance(manifest.settings, type) and issubclass(manifest.settings, PluginSettings)):
        raise InvalidPlugin("its manifest's `settings` is not a subclass of PluginSettings")
    for field in ("permissions", "features", "components", "provides", "requires", "uses", "emits"):
        if not isinstance(getattr(manifest, field), tuple):
            raise InvalidPlugin(f"its manifest's `{field}` is not a tuple")
    for field, kind in _KINDS.items():
        for item in getattr(manifest, field):
            if not isinstance(item, kind):
                raise InvalidPlugin(f"its manifest's `{field}` has {item!r:.60} instead of a {kind.__name__}")
    for event in manifest.emits:
        if not (isinstance(event, type) and issubclass(event, Event) and event.type):
            raise InvalidPlugin(f"its manifest's `emits` has {event!r:.60}, which is no event class with a type")
    for feature in manifest.features:
        if feature.required_plan not in PLANS:
            raise InvalidPlugin(f"its feature {feature.key!r} requires {feature.required_plan!r}, which is no plan")
    for outer in manifest.shares:
        if not any(outer.startswith(f"{prefix.rstrip('/')}/") for prefix in manifest.prefixes):
            raise InvalidPlugin(f"it shares {outer}, which lies below none of its prefixes")


def check_jobs(jobs: Sequence[Job]) -> None:
    """Refuse jobs that run without pause, never, or under one name."""
    names = [job.name for job in jobs]
    for job in jobs:
        if names.count(job.name) > 1:
            raise InvalidPlugin(f"two jobs are named {job.name!r}")
        if job.every is not None and job.every < _LEAST_INTERVAL:
            raise InvalidPlugin(f"the job {job.name!r} runs every {job.every}; the least is a second")
        if job.timeout <= timedelta(0):
            raise InvalidPlugin(f"the job {job.name!r} has a time-out of {job.timeout}")
        if not inspect.iscoroutinefunction(inspect.unwrap(job.run)) and not _awaitable_call(job.run):
            raise InvalidPlugin(f"the `run` of the job {job.name!r} is not `async def`")


def _awaitable_call(run: Any) -> bool:
    """Return whether a callable object, a bound method or a partial is `async def` inside."""
    inner = getattr(run, "func", run)
    call = getattr(inner, "__call__", None)  # noqa: B004 - the method itself is looked at
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(call)


def check_feature(feature: str | None, declared: Iterable[str], where: str) -> None:
    """Refuse a feature that neither the plan nor the manifest knows."""
    known = sorted(declared)
    if feature is not None and feature not in known:
        like = difflib.get_close_matches(feature, known, 1)
        hint = f"; did you mean {like[0]!r}?" if like else ""
        raise InvalidPlugin(f"{where} names the feature {feature!r}, which is not declared{hint}")


def check_blueprint(blueprint: Any) -> None:
    """Refuse what a blueprint would set for the whole application: it may add routes."""
    for function in blueprint.deferred_functions:
        parts = getattr(function, "__qualname__", "").split(".")
        if parts[:2] != ["Blueprint", "add_url_rule"]:
            what = parts[1] if parts[0] == "Blueprint" and len(parts) > 1 else "record"
            raise InvalidPlugin(f"its blueprint {blueprint.name!r} uses `{what}`, which is for the whole application")
    for inner, _ in blueprint._blueprints:
        check_blueprint(inner)
