"""Parses smartctl's JSON report of a disk (smartctl(8): exit status, `--json`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_FAILING = 8  # bits of the exit status
_PREFAIL = 16
_WEAR = {
    "Wear_Leveling_Count",
    "Media_Wearout_Indicator",
    "SSD_Life_Left",
    "Percent_Lifetime_Remain",
    "Percent_Life_Remaining",
    "Remaining_Lifetime_Perc",
    "Drive_Life_Remaining%",
    "SSD_LifeLeft(0.01%)",
}


@dataclass(frozen=True)
class SmartReport:
    """A disk's own judgement: `status` is passed, failing or unknown, and then `reason` says why."""

    status: str
    reason: str | None = None
    model: str | None = None
    serial: str | None = None
    temperature_c: int | None = None
    power_on_hours: int | None = None
    wear_percent: int | None = None
    asleep: bool = False


def unknown(reason: str) -> SmartReport:
    """Return the report of a disk that could not be asked."""
    return SmartReport("unknown", reason)


def read_report(found: Mapping[str, Any]) -> SmartReport:
    """Return the parsed report of `smartctl --json -a`; tolerates missing fields."""
    status, reason = _status(found)
    return SmartReport(
        status=status,
        reason=reason,
        model=_text(found.get("model_name")) or _text(found.get("scsi_model_name")),
        serial=_text(found.get("serial_number")),
        temperature_c=_number(_part(found, "temperature").get("current")),
        power_on_hours=_number(_part(found, "power_on_time").get("hours")),
        wear_percent=_wear(found),
        asleep=_asleep(found),
    )


def _status(found: Mapping[str, Any]) -> tuple[str, str | None]:
    code = _number(_part(found, "smartctl").get("exit_status")) or 0
    passed = _part(found, "smart_status").get("passed")
    if passed is False or code & _FAILING:
        return "failing", _failure(found)
    if code & _PREFAIL:
        return "failing", f"An attribute that foretells failure is below its threshold: {_worn_out(found)}."
    if passed is True:
        return "passed", None
    return "unknown", _why_unknown(found)


def _failure(found: Mapping[str, Any]) -> str:
    warning = _number(_part(found, "nvme_smart_health_information_log").get("critical_warning")) or 0
    meanings = {
        1: "spare space is below its threshold",
        2: "a temperature is out of its bounds",
        4: "its reliability is degraded by errors",
        8: "it can be read only",
        16: "its memory backup failed",
        32: "its persistent memory is unreliable",
    }
    told = [text for bit, text in meanings.items() if warning & bit]
    if told:
        return f"The disk warns: {'; '.join(told)}."
    return f"The disk itself foretells its failure: {_worn_out(found)}."


def _worn_out(found: Mapping[str, Any]) -> str:
    names = [
        str(row.get("name"))
        for row in _part(found, "ata_smart_attributes").get("table") or ()
        if isinstance(row, Mapping) and row.get("when_failed") == "now"
    ]
    return ", ".join(names) or "it does not say why"


def _why_unknown(found: Mapping[str, Any]) -> str:
    said = [str(m.get("string", "")) for m in _part(found, "smartctl").get("messages") or () if isinstance(m, Mapping)]
    text = " ".join(said).lower()
    if "permission denied" in text or "operation not permitted" in text:
        return "No permission to ask the disk; run Cloud OS as root, or give it CAP_SYS_RAWIO and CAP_SYS_ADMIN."
    if _asleep(found):
        return "The disk sleeps and was not woken to be asked."
    if "unknown usb bridge" in text:
        return "The disk's USB adapter does not pass its health on."
    support = _part(found, "smart_support")
    if support.get("available") is False or "unable to detect device type" in text:
        return "The disk does not report its health (no SMART)."
    if support.get("enabled") is False:
        return "SMART is switched off on the disk; `smartctl -s on` switches it on."
    return f"smartctl could not tell: {said[0]}" if said else "smartctl could not tell."


def _wear(found: Mapping[str, Any]) -> int | None:
    """Return how much of its life a flash disk has used, in percent; it may be over 100."""
    for used in (
        _part(found, "endurance_used").get("current_percent"),
        _part(found, "nvme_smart_health_information_log").get("percentage_used"),
        found.get("scsi_percentage_used_endurance_indicator"),
    ):
        if (value := _number(used)) is not None:
            return value
    for row in _part(found, "ata_smart_attributes").get("table") or ():
        if isinstance(row, Mapping) and row.get("name") in _WEAR and (left := _number(row.get("value"))) is not None:
            return max(0, 100 - left)
    return None


def _asleep(found: Mapping[str, Any]) -> bool:
    said = [str(m.get("string", "")) for m in _part(found, "smartctl").get("messages") or () if isinstance(m, Mapping)]
    return any("device is in standby" in text.lower() or "in sleep mode" in text.lower() for text in said)


def _part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = found.get(name)
    return part if isinstance(part, Mapping) else {}


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
