"""Reports tampering: a verification's finding is stored outside the database and emitted once."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from cloudos_sdk import Context, Event, Health
from pydantic import ValidationError

from cloudos_audit.external_seal import Position
from cloudos_audit.schemas import Problem, Verification
from cloudos_audit.verification import Verifier


@dataclass(frozen=True, kw_only=True)
class AuditTampered(Event, type="audit.tampered", audience="audit:read"):
    """The audit log does not verify: an entry was altered, removed, added or reordered."""

    kind: str
    seq: int


class TamperMonitor:
    """Verifies the log and stores the outcome; emits `audit.tampered` once for each problem."""

    def __init__(self, ctx: Context, verifier: Verifier) -> None:
        self._ctx = ctx
        self._verifier = verifier
        self._file: Path = ctx.data_dir / "problem.json"
        self._known = self._load()

    def _load(self) -> Problem | None:
        try:
            return Problem.model_validate_json(self._file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    async def verify(self, kept: Position | None = None) -> Verification:
        """Verify the log and emit a problem; `kept` is a position kept elsewhere."""
        outcome = await self._watched()
        return outcome if kept is None else await self._verifier.expect(outcome, kept)

    async def _watched(self) -> Verification:
        outcome = await self._verifier.verify()
        problem, known = outcome.problem, self._known
        if problem is None and known is None:
            pass
        elif problem is None:
            with contextlib.suppress(OSError):  # on a disk that cannot be written it is remembered in memory alone
                self._file.unlink(missing_ok=True)
        elif known is None or (known.kind, known.seq) != (problem.kind, problem.seq):
            self._ctx.log.error("the audit log does not verify", kind=problem.kind, seq=problem.seq)
            event = AuditTampered(resource="audit", details=problem.sentence, kind=problem.kind, seq=problem.seq)
            await self._ctx.db.write(lambda session: self._ctx.events.emit(session, event))
            with contextlib.suppress(OSError):
                self._file.write_text(problem.model_dump_json())
        self._known = problem
        return outcome

    def health(self) -> Health:
        """Tell how the last verification ended."""
        if self._known is not None:
            return Health(False, f"The audit log does not verify: {self._known.sentence}")
        return Health(True)
