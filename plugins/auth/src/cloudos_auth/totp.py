"""The second factor: time-based codes (RFC 6238), and backup codes that hold once."""

from __future__ import annotations

import asyncio
import base64
import hmac
import io
import secrets

from cloudos_sdk import Conflict, Context, Unauthenticated
from sqlmodel import Session as Db
from sqlmodel import delete, func, select, update

from cloudos_auth.events import BackupCodeUsed, TotpDisabled, TotpEnabled
from cloudos_auth.identity_cache import IdentityCache
from cloudos_auth.models import BackupCode, User
from cloudos_auth.schemas import TotpSetup

_STEP = 30
_CODES = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


class SecondFactors:
    """Sets codes up and checks them. A code is accepted once, one step early or late."""

    def __init__(self, ctx: Context, directory: IdentityCache) -> None:
        self._ctx = ctx
        self._directory = directory

    async def enable(self, user: User) -> TotpSetup:
        """Return a fresh secret and backup codes; in force once a first code is confirmed. Raises Conflict."""
        import pyotp

        if user.totp_enabled:
            raise Conflict("totp_enabled", "The second factor is in force already; disable it first.")
        secret = pyotp.random_base32()
        codes = ["-".join(_word() for _ in range(2)) for _ in range(_CODES)]
        values = {"totp_secret": self._ctx.secrets.encrypt(secret), "totp_step": 0}

        def store(db: Db) -> None:
            statement = update(User).where(User.__table__.c.id == user.id, User.__table__.c.totp_enabled.is_(False))
            if db.connection().execute(statement.values(**values)).rowcount != 1:
                raise Conflict("totp_enabled", "The second factor is in force already; disable it first.")
            db.execute(delete(BackupCode).where(BackupCode.__table__.c.user_id == user.id))
            for code in codes:
                db.add(BackupCode(digest=self._digest(user, code), user_id=user.id))
            self._directory.mirror_user(db, user.id)

        await self._ctx.db.write(store)
        uri = pyotp.TOTP(secret).provisioning_uri(name=user.username, issuer_name="Cloud OS")
        picture = await asyncio.to_thread(_qr, uri)
        return TotpSetup(secret=secret, otpauth_uri=uri, qr_png_base64=picture, backup_codes=codes)

    async def confirm(self, user: User, code: str) -> None:
        """Put the factor in force by a first code. Raises Conflict, Unauthenticated."""
        if user.totp_enabled or user.totp_secret is None:
            raise Conflict("totp_not_pending", "There is nothing to confirm; call /api/auth/totp/enable first.")
        step = self._step(user, code)
        if step is None:
            raise wrong_code()

        def store(db: Db) -> None:
            self._accept(db, user, step, enable=True)
            told = TotpEnabled(
                resource=user.id, details=f"{user.username} enabled the second factor", username=user.username
            )
            self._ctx.events.emit(db, told)

        await self._ctx.db.write(store)

    def use(self, db: Db, user: User, code: str) -> bool:
        """Consume a TOTP or backup code in the current transaction; return whether it was valid."""
        step = self._step(user, code)
        if step is not None:
            try:
                self._accept(db, user, step, enable=False)
            except Unauthenticated:
                return False
            return True
        table = BackupCode.__table__
        digest = self._digest(user, code.strip().lower())
        statement = delete(BackupCode).where(table.c.digest == digest, table.c.user_id == user.id)
        if db.connection().execute(statement).rowcount != 1:
            return False
        left = int(db.execute(select(func.count()).select_from(table).where(table.c.user_id == user.id)).scalar() or 0)
        details = f"{user.username} used a backup code; {left} are left"
        self._ctx.events.emit(db, BackupCodeUsed(resource=user.id, details=details, username=user.username, left=left))
        return True

    def take_away(self, db: Db, user: User) -> None:
        """End the second factor of a user, in the transaction in hand."""
        values = {"totp_enabled": False, "totp_secret": None, "totp_step": 0}
        db.execute(update(User).where(User.__table__.c.id == user.id).values(**values))
        db.execute(delete(BackupCode).where(BackupCode.__table__.c.user_id == user.id))
        details = f"The second factor of {user.username} was disabled"
        self._ctx.events.emit(db, TotpDisabled(resource=user.id, details=details, username=user.username))
        self._directory.mirror_user(db, user.id)

    def _accept(self, db: Db, user: User, step: int, *, enable: bool) -> None:
        """Advance the last used step if the code was not used meanwhile and the factor is unchanged."""
        table = User.__table__
        statement = update(User).where(
            table.c.id == user.id,
            table.c.totp_step < step,
            table.c.totp_secret == user.totp_secret,
            table.c.totp_enabled.is_(not enable),
        )
        if db.connection().execute(statement.values(totp_step=step, totp_enabled=True)).rowcount != 1:
            raise wrong_code()
        self._directory.mirror_user(db, user.id)

    def _step(self, user: User, code: str) -> int | None:
        import pyotp

        if user.totp_secret is None or len(code) != 6 or not (code.isascii() and code.isdigit()):
            return None
        totp = pyotp.TOTP(self._ctx.secrets.decrypt(user.totp_secret))
        now = int(self._ctx.clock.now().timestamp()) // _STEP
        fitting = [step for step in (now - 1, now, now + 1) if hmac.compare_digest(totp.generate_otp(step), code)]
        return fitting[-1] if fitting and fitting[-1] > user.totp_step else None

    def _digest(self, user: User, code: str) -> str:
        return self._ctx.secrets.digest(f"{user.id}:{code}")


def wrong_code() -> Unauthenticated:
    """Return the error of a code that does not hold, whatever the reason."""
    return Unauthenticated("The code does not hold.", code="invalid_code")


def _word() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(5))


def _qr(text: str) -> str:
    import qrcode
    from qrcode.image.pure import PyPNGImage

    out = io.BytesIO()
    qrcode.make(text, image_factory=PyPNGImage).save(out)
    return base64.b64encode(out.getvalue()).decode()
