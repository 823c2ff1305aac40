"""The first phases of a boot: import, validate, order. A failure in one stops that plugin alone."""

from __future__ import annotations

import graphlib
import importlib
import inspect
from collections.abc import Sequence
from typing import Any, TypeVar

import pluggy
from cloudos_sdk import Job, Manifest, Mount, hooks
from cloudos_sdk.plans import ORBIT_FEATURES
from cloudos_sdk.policy import Policy, policy_of
from quart import Blueprint, Quart

from cloudos_host import config as configuration
from cloudos_host.plugins.contributions import fault_of, taken
from cloudos_host.plugins.declarations import (
    InvalidPlugin,
    check_blueprint,
    check_feature,
    check_hooks,
    check_jobs,
    check_manifest,
)
from cloudos_host.plugins.registry import BootPhase, PluginRecord, PluginState, covers, owner
from cloudos_host.plugins.startup_crash_log import StartupCrashLog

T = TypeVar("T")


class _Rules(Quart):
    """Collects the rules of blueprints without compiling them, which is most of a rule's cost."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.rules: list[tuple[str, Any]] = []
        super().__init__(*args, **options)

    def add_url_rule(  # type: ignore[override] # options are taken as they come
        self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any
    ) -> None:
        """Note a rule."""
        self.rules.append((rule, view_func))


class PluginLoader:
    """Takes plugins through the phases import, validate and order."""

    def __init__(
        self,
        records: Sequence[PluginRecord],
        config: configuration.Config,
        notes: StartupCrashLog,
        log: Any,
        host: Manifest,
    ) -> None:
        self.records = records
        self._config = config
        self._notes = notes
        self._log = log
        self._host = host
        self.hooks = pluggy.PluginManager("cloudos")
        self.hooks.add_hookspecs(hooks)

    def call(self, record: PluginRecord, hook: str, **arguments: Any) -> Any:
        """Call one hook of one plugin; None if the plugin does not implement it."""
        others = [plugin for plugin in self.hooks.get_plugins() if plugin is not record.module]
        results = self.hooks.subset_hook_caller(hook, others)(**arguments)
        return results[0] if results else None

    def load(self, records: Sequence[PluginRecord] | None = None) -> None:
        """Import and validate these plugins, or all, then assign the paths.

        One that runs already is not touched: who clashes with it fails alone.
        """
        loading = [record for record in (self.records if records is None else records) if record.alive]
        for record in loading:
            self._notes.enter(record.id)
            try:
                self.examine(record)
            except BaseException as error:  # noqa: BLE001 - plugin code; it fails alone
                reason = str(error) if isinstance(error, InvalidPlugin | configuration.ConfigError) else error
                record.fail(record.phase, reason)
                record.prefixes = record.prefixes or self._notes.prefixes_of(record.found)
                self._log.error("plugin failed", plugin=record.id, phase=record.phase.value, reason=record.reason)
        self._settle_prefixes()
        self._settle_permissions()
        self._settle_contributions()
        for record in loading:
            if record.alive:
                try:
                    self._collect(record)
                except BaseException as error:  # noqa: BLE001 - plugin code; it fails alone
                    record.fail(BootPhase.VALIDATE, str(error) if isinstance(error, InvalidPlugin) else error)
                    self._log.error("plugin failed", plugin=record.id, phase="validate", reason=record.reason)
        self._notes.prefixes.update({r.id: list(r.prefixes) for r in loading if r.alive})
        self._notes.leave()

    def examine(self, record: PluginRecord) -> None:
        """Import one plugin and check its manifest and settings. Raises InvalidPlugin or the plugin's own error."""
        self._import(record)
        record.phase = BootPhase.VALIDATE
        self._validate(record)

    def _import(self, record: PluginRecord) -> None:
        record.phase = BootPhase.IMPORT
        record.module = record.found.module or importlib.import_module(record.found.target)

    def _validate(self, record: PluginRecord) -> None:
        manifest = getattr(record.module, "manifest", None)
        if not isinstance(manifest, Manifest):
            raise InvalidPlugin(f"{record.found.target} has no `manifest = Manifest(...)`")
        check_hooks(vars(record.module))
        check_manifest(manifest)
        record.manifest = manifest
        for prefix in manifest.prefixes:
            if not prefix.startswith("/") or prefix.rstrip("/") in ("", "/api"):
                raise InvalidPlugin(f"the prefix {prefix!r} is not a path of its own, such as /api/{record.id}")
            if any(covers(own, prefix) for own in self._host.prefixes):
                raise InvalidPlugin(f"the prefix {prefix!r} is the host's own")
        if (fault := fault_of(manifest, self._host)) is not None:
            raise InvalidPlugin(fault)
        record.prefixes = manifest.prefixes
        if manifest.tables is not None:
            prefix = record.id.replace("-", "_") + "_"
            for table in manifest.tables.metadata.tables:
                if not table.startswith(prefix):
                    raise InvalidPlugin(f"its table {table!r} does not begin with {prefix!r}")
        given = configuration.plugin_section(self._config, record.id)
        record.settings = configuration.check(manifest.settings, given, f"[plugins.{record.id}]", self._config.source)
        try:
            self.hooks.register(record.module, name=record.id)
        except pluggy.PluginValidationError as error:
            raise InvalidPlugin(str(error)) from None

    def _settle_prefixes(self) -> None:
        """Refuse a plugin that claims another's path, or one below it which that does not share.

        It is the newcomer that is refused: what runs stays, then what is required, then what the last boot had. Of
        two newcomers with the same path both are refused.
        """
        claims = [(p.rstrip("/"), r) for r in self.records if r.alive and r.manifest is not None for p in r.prefixes]
        refused: list[tuple[PluginRecord, str]] = []
        for path, record in claims:
            for other_path, other in claims:
                if other is record or not covers(other_path, path):
                    continue
                if path == other_path:
                    if self._standing(record) <= self._standing(other) and record.state is PluginState.PENDING:
                        names = " and ".join(sorted((repr(record.id), repr(other.id))))
                        refused.append((record, f"{names} both own {path}; uninstall or disable one of them"))
                elif not self._shared(other, path) and record.state is PluginState.PENDING:
                    below = f"its path {path} lies below {other_path} of {other.id!r}, which does not share it"
                    refused.append((record, below))
        for record, reason in refused:
            if record.alive:
                record.fail(BootPhase.VALIDATE, reason)
                self._log.error("plugin failed", plugin=record.id, phase="validate", reason=reason)

    def _standing(self, record: PluginRecord) -> int:
        if record.state is not PluginState.PENDING:
            return 3
        if record.id in self._config.host.required:
            return 2
        return 1 if record.id in self._notes.versions else 0

    def _shared(self, outer: PluginRecord, path: str) -> bool:
        return outer.manifest is not None and any(covers(shared, path) for shared in outer.manifest.shares)

    def _settle_permissions(self) -> None:
        """Refuse a plugin that gives another's permission to a weaker or stronger role."""
        declared = {permission.name: ("the host", permission) for permission in self._host.permissions}
        for record in sorted(
            self.records, key=lambda r: r.state is PluginState.PENDING
        ):  # first those that run already
            for permission in record.manifest.permissions if record.alive and record.manifest else ():
                whose, other = declared.setdefault(permission.name, (repr(record.id), permission))
                if other.role is not permission.role:
                    record.fail(
                        BootPhase.VALIDATE,
                        f"it gives {permission.name!r} to {permission.role}s, but {whose} gives it to {other.role}s",
                    )
                    self._log.error("plugin failed", plugin=record.id, phase="validate", reason=record.reason)
                    break

    def _settle_contributions(self) -> None:
        """Refuse a plugin that brings a page or a widget that another has, or answers `/` beside another."""
        claimed: dict[str, str] = {}
        for record in sorted(
            self.records, key=lambda r: r.state is PluginState.PENDING
        ):  # first those that run already
            for claim in taken(record.manifest) if record.alive and record.manifest else ():
                other = claimed.setdefault(claim, record.id)
                if other != record.id:
                    record.fail(BootPhase.VALIDATE, f"{other!r} and {record.id!r} both have {claim}")
                    self._log.error("plugin failed", plugin=record.id, phase="validate", reason=record.reason)
                    break

    def _collect(self, record: PluginRecord) -> None:
        """Take routes, mounts and jobs, and check each endpoint."""
        record.blueprints = self._declared(record, "cloudos_routes", Blueprint)
        record.mounts = self._declared(record, "cloudos_mounts", Mount)
        record.jobs = self._declared(record, "cloudos_jobs", Job)
        check_jobs(record.jobs)
        for blueprint in record.blueprints:
            check_blueprint(blueprint)
        scratch = _Rules("validation", static_folder=None)
        for blueprint in record.blueprints:
            scratch.register_blueprint(blueprint)
        manifest = record.manifest
        known = {p.name for p in manifest.permissions} if manifest else set()
        features = {*ORBIT_FEATURES, *(f.key for f in manifest.features)} if manifest else set()
        for job in record.jobs:
            check_feature(job.feature, features, f"the job {job.name!r}")
        for mount in record.mounts:
            for feature in mount.policy.features:
                check_feature(feature, features, f"the application at {mount.path}")
            self._check_place(record, mount.path, mount.policy, known, f"the application at {mount.path}")
        for rule, view in scratch.rules:
            for feature in policy_of(view).features:
                check_feature(feature, features, f"{view.__name__} of {rule}")
            self._check_place(record, rule, policy_of(view), known, view.__name__)
            if not inspect.iscoroutinefunction(inspect.unwrap(view)):
                raise InvalidPlugin(f"{view.__name__} of {rule} is not `async def`")

    def _declared(self, record: PluginRecord, hook: str, kind: type[T]) -> list[T]:
        """Return what a hook lists. Raises InvalidPlugin if that is no list of `kind`."""
        if not hasattr(record.module, hook):
            return []
        given = self.call(record, hook)
        if inspect.iscoroutine(given):
            given.close()
            raise InvalidPlugin(f"{hook} is `async def`; make it `def`: it returns a list and does no I/O")
        if not isinstance(given, list | tuple):
            raise InvalidPlugin(f"{hook} returned {type(given).__name__} instead of a list of {kind.__name__}")
        for item in given:
            if not isinstance(item, kind):
                raise InvalidPlugin(f"{hook} lists {type(item).__name__} {item!r:.60} instead of a {kind.__name__}")
        return list(given)

    def _check_place(self, record: PluginRecord, path: str, policy: Policy, known: set[str], what: str) -> None:
        """Refuse an endpoint or a mount without a policy, or outside of its plugin's paths."""
        if policy.access == "undecided":
            raise InvalidPlugin(f"{path} has no access policy; mark {what} with @requires(...), @signed_in or @public")
        if policy.permission is not None and policy.permission not in known:
            raise InvalidPlugin(f"{path} requires {policy.permission!r}, which the manifest does not declare")
        if path == "/" and record.manifest is not None and record.manifest.root:
            return
        if not any(covers(prefix, path) for prefix in record.prefixes):
            raise InvalidPlugin(f"{path} lies outside of its prefixes {', '.join(record.prefixes) or '(none)'}")
        if owner([r for r in self.records if r.alive], path.split("<")[0]) is not record:
            raise InvalidPlugin(f"{path} belongs to another plugin")

    def complete(self, records: Sequence[PluginRecord]) -> bool:
        """Return whether these loaded plugins and the host provide all required capabilities."""
        provided = {*self._host.provides, *(c for r in records if r.alive and r.manifest for c in r.manifest.provides)}
        return all(r.manifest is None or provided.issuperset(r.manifest.requires) for r in records if r.alive)

    def order(self) -> list[PluginRecord]:
        """Return the loaded plugins to be started, providers before consumers."""
        while True:
            living = {r.id: r for r in self.records if r.state is PluginState.PENDING and r.manifest is not None}
            graph = {id: self._needs(record, living) for id, record in living.items() if record.alive}
            graph = {id: needs for id, needs in graph.items() if living[id].alive}
            if any(not record.alive for record in living.values()):
                continue
            for soft in (True, False):
                edges = {id: hard | (weak if soft else set()) for id, (hard, weak) in graph.items()}
                try:
                    return [living[id] for id in graphlib.TopologicalSorter(edges).static_order()]
                except graphlib.CycleError as error:
                    cycle = set(error.args[1])
            for id in cycle:
                living[id].fail(BootPhase.ORDER, f"it needs itself through {', '.join(sorted(cycle))}")

    def _needs(self, record: PluginRecord, living: dict[str, PluginRecord]) -> tuple[set[str], set[str]]:
        manifest = record.manifest
        if manifest is None:
            return set(), set()
        hard: set[str] = set()
        up = {c for r in self.records if r.state in (PluginState.RUNNING, PluginState.WAITING) for c in _provided(r)}
        for capability in set(manifest.requires) - set(self._host.provides) - up:
            providers = {r.id for r in living.values() if capability in _provided(r)}
            if not providers:
                record.fail(BootPhase.ORDER, f"it needs {capability.__name__}, which no working plugin provides")
            hard |= providers
        weak = {r.id for c in manifest.uses for r in living.values() if c in _provided(r)} - {record.id}
        return hard, weak


def _provided(record: PluginRecord) -> tuple[type[Any], ...]:
    return record.manifest.provides if record.manifest else ()
