"""Health checks before a flight, disk encryption, interrupted flights.

The checks cover disk, store, catalogue, clock, terrain and communes, among others; none raises.
"""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flycam.drill.video_encoder import PACKAGES, PROGRAM, has_encoder
from flycam.errors import FlightBusy, FlycamError
from flycam.ingest.video.video_frames import is_stream_frame, is_video_frame
from flycam.messages import Message, _, join, ngettext
from flycam.model.flight import Flight, FlightState
from flycam.model.records import FrameStatus
from flycam.model.time import format_minute, format_utc_offset
from flycam.mosaic.eviction import DAY_S, estimate_evictable
from flycam.mosaic.orthorectify.rebuild import has_original
from flycam.operations.inventory import list_inventory_parts
from flycam.operations.verify import VerifyLedger
from flycam.power import SCARCE_PERCENT, Power
from flycam.retry import check_store_writable
from flycam.storage.files import LOW_SPACE_BYTES, RESERVED_BYTES, get_free_bytes
from flycam.storage.keys import STAGES_DIR
from flycam.workspace import Workspace

# -- Detection of disk encryption, which protects the data of a stolen machine ---------------------


_MOUNTS = Path("/proc/self/mountinfo")
_SYS = Path("/sys")
_KERNEL_S_UUID = "CRYPT-"  # dm-crypt: LUKS, VeraCrypt, plain


def is_encrypted(folder: Path, *, mounts: Path = _MOUNTS, sys: Path = _SYS) -> bool | None:
    """Return True if a folder's disk is encrypted, False if not; None if unknown.

    Detected on Linux, for block devices, by dm-crypt anywhere below the file system. File systems with
    encryption of their own (fscrypt, ZFS) and other systems are unknown.
    """
    device = _device(folder, mounts)
    if device is None:
        return None
    block = sys / "dev" / "block" / device
    return _below(block.resolve()) if block.exists() else None


def _device(folder: Path, mounts: Path) -> str | None:
    """Return MAJOR:MINOR of the block device that holds a folder."""
    number = folder.stat().st_dev
    device = _named(number)
    if os.major(number):
        return device
    try:  # btrfs: the mount names its device
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        mount, __, kind = line.partition(" - ")
        if mount.split()[2] != device:
            continue
        try:
            return _named(Path(kind.split()[1]).stat().st_rdev)
        except (OSError, IndexError):
            return None
    return None


def _named(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"


def _below(block: Path) -> bool:
    """Return True if a block device, or all that it is made of, are encrypted.

    A single one that is not can be read.
    """
    uuid = block / "dm" / "uuid"
    if uuid.exists() and uuid.read_text().startswith(_KERNEL_S_UUID):
        return True
    below = sorted((block / "slaves").iterdir()) if (block / "slaves").exists() else []
    return bool(below) and all(_below(one.resolve()) for one in below)


# -- Interrupted flights, each with the command that completes it ----------------------------------
#
# Flights are interrupted by a kill or a power cut. Streams complete themselves (`flycam.ingest.live`).


_MAX_FRAMES = 32
"""Maximum number of a flight's frames whose originals are looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InterruptedFlight:
    """A sentence that names the flight and the command."""

    flight_id: str
    sentence: Message


def list_interrupted_flights(workspace: Workspace) -> list[InterruptedFlight]:
    """List interrupted flights in the catalogue's order. Raises StorageFailed."""
    found = []
    for flight in workspace.catalog.flights.flights():
        if flight.state is FlightState.INGESTING and _is_free(workspace, flight.flight_id):
            found += _of_ingest(workspace, flight)
        folder = workspace.cache_dir / STAGES_DIR / flight.flight_id
        if any(folder.glob("**/*.stage")) and _is_free(workspace, f"finish-{flight.flight_id}"):
            found.append(
                InterruptedFlight(
                    flight_id=flight.flight_id,
                    sentence=_(
                        "{name}: finishing it was interrupted; 'flycam finish {flight_id}' "
                        "resumes where it stopped",
                        name=flight.name,
                        flight_id=flight.flight_id,
                    ),
                )
            )
    return found


def _of_ingest(workspace: Workspace, flight: Flight) -> list[InterruptedFlight]:
    frames = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    if frames and not any(has_original(workspace, one) for one in frames[-_MAX_FRAMES:]):
        return []  # a peer ingests it, and reports its end
    if frames and all(map(is_stream_frame, frames)):
        command = _("'flycam serve' completes it")
    elif frames and all(map(is_video_frame, frames)):
        command = _("the same 'flycam live VIDEO' once more completes it")
    else:
        command = _("'flycam ingest CARD' of the same photos completes it")
    sentence = ngettext(
        "{name}: processing it was interrupted, {count} picture is on the map; {command}",
        "{name}: processing it was interrupted, {count} pictures are on the map; {command}",
        len(frames),
        name=flight.name,
        command=command,
    )
    return [InterruptedFlight(flight_id=flight.flight_id, sentence=sentence)]


def _is_free(workspace: Workspace, name: str) -> bool:
    """Return True if no process holds this lock now."""
    try:
        with workspace.catalog.flights.lock(name):
            return True
    except FlightBusy:
        return False


# -- Health checks ---------------------------------------------------------------------------------


_BYTES_A_FLIGHT = 20 << 30
_OLD_BACKUP_S = 7 * DAY_S
_RELEASED = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheck:
    """One check; its sentence states the result and, if it is not well, the remedy.

    warns  it does not prevent a flight, but should be acted on
    """

    name: str
    ok: bool
    sentence: Message
    warns: bool = False


def run_health_checks(
    workspace: Workspace, data_dir: Path, store_dir: Path | None = None
) -> list[HealthCheck]:
    """Run all checks; none raises. store_dir: the folder of the store, if it is one."""
    places = [data_dir]
    if store_dir is not None and store_dir.stat().st_dev != data_dir.stat().st_dev:
        places.append(store_dir)
    checks = [_disk(data_dir), check_encryption(places), _power(workspace.power), _clock(workspace)]
    checks.append(_guarded("privacy", lambda: _privacy(workspace, data_dir, store_dir)))
    checks.append(_guarded("store", lambda: _store(workspace)))
    checks.append(_guarded("room", lambda: _room(workspace)))
    checks.append(_guarded("catalogue", lambda: _catalogue(workspace)))
    checks.append(_guarded("accounts", lambda: _accounts(workspace)))
    checks.append(_guarded("boxes", lambda: _boxes(workspace)))
    checks.append(_guarded("terrain", lambda: _terrain(workspace)))
    checks.append(_guarded("communes", lambda: _communes(workspace)))
    checks.append(_guarded("readback", lambda: _readback(workspace)))
    checks.append(_guarded("backup", lambda: _backup(workspace)))
    checks.append(_guarded("unfinished", lambda: _unfinished(workspace)))
    checks.append(_film())
    return checks


def _guarded(name: str, check: Callable[[], HealthCheck]) -> HealthCheck:
    try:
        return check()
    except FlycamError as error:
        return HealthCheck(name=name, ok=False, sentence=error.message)


def _disk(data_dir: Path) -> HealthCheck:
    free = get_free_bytes(data_dir)
    ok = free >= _BYTES_A_FLIGHT
    sentence = _("{size_gb:.0f} GB free at {folder}", size_gb=free / 1e9, folder=data_dir)
    if not ok:
        sentence = join([sentence, _("free some, a flight can need 20")], "; ")
    return HealthCheck(name="disk", ok=ok, sentence=sentence)


def _room(workspace: Workspace) -> HealthCheck:
    """Check how much could be evicted, and report the catalogue's reserve."""
    kept_mb = RESERVED_BYTES / 1e6
    if workspace.store.free_bytes() is None:
        sentence = _(
            "free space in the store cannot be read from here; ask who runs it. The last "
            "{kept_mb:.0f} MB of the catalogue's disk are kept for the catalogue",
            kept_mb=kept_mb,
        )
        return HealthCheck(name="room", ok=True, sentence=sentence)
    found = estimate_evictable(workspace)
    scarcest = workspace.find_fullest_disk()
    ok = scarcest is None or scarcest.free_bytes >= LOW_SPACE_BYTES
    freeable = _("nothing is here that could be freed")
    if found.size_bytes:
        freeable = _(
            "{size_mb:.1f} MB could be freed without losing anything: {tiles}, {clips}, {copies} "
            "('flycam collect')",
            size_mb=found.size_bytes / 1e6,
            tiles=ngettext("{count} old tile state", "{count} old tile states", found.tiles),
            clips=ngettext("{count} old clip", "{count} old clips", found.clips),
            copies=ngettext("{count} local copy", "{count} local copies", found.copies),
        )
    parts = [
        freeable,
        _(
            "flights free such things themselves below {low_gb:.1f} GB, and the last {kept_mb:.0f} MB are "
            "kept for the catalogue",
            low_gb=LOW_SPACE_BYTES / 1e9,
            kept_mb=kept_mb,
        ),
    ]
    if not ok and scarcest is not None:
        parts.append(_("{disk} is low: see to a larger disk", disk=scarcest.name))
    return HealthCheck(name="room", ok=ok, sentence=join(parts, "; "))


def check_encryption(
    places: Sequence[Path], probe: Callable[[Path], bool | None] = is_encrypted
) -> HealthCheck:
    """Check disk encryption.

    An unencrypted disk is a warning only, as it does not prevent a flight. It matters for where the node may
    be taken. Reports the worst known state of the node's data places.
    """
    found = [(place, probe(place)) for place in places]
    clear = ", ".join(str(place) for place, result in found if result is False)
    unknown = ", ".join(str(place) for place, result in found if result is None)
    if clear:
        sentence = _(
            "the disk is NOT encrypted ({places}): who takes this machine can read all pictures and marks; "
            "encrypt it before it leaves the office",
            places=clear,
        )
    elif unknown:
        sentence = _(
            "whether the disk is encrypted ({places}) cannot be determined here; look in "
            "the system's settings",
            places=unknown,
        )
    else:
        sentence = _("the disk is encrypted")
    return HealthCheck(name="encryption", ok=True, sentence=sentence, warns=bool(clear))


def _privacy(workspace: Workspace, data_dir: Path, store_dir: Path | None) -> HealthCheck:
    """Check whether other accounts of this machine can read the node's data.

    A warning only. A node may be shared on purpose.
    """
    catalogue, saved = workspace.catalog.folder, workspace.catalog.audit.last("backup")
    elsewhere = [
        store_dir,
        None if catalogue is None else Path(workspace.catalog.place),
        None if saved is None else Path(saved.subject),
    ]
    places = [data_dir, *(one for one in elsewhere if one and not one.is_relative_to(data_dir))]
    found = [place for place in places if _is_open(place)]
    sentence = _("only this account can read what is kept")
    if found:
        sentence = _(
            "other accounts of this machine may read {places}: pictures, marks, hashes of tokens; unless "
            "that is meant: {command}",
            places=", ".join(map(str, found)),
            command=shlex.join(("chmod", "-R", "go-rwx", *map(str, found))),
        )
    return HealthCheck(name="privacy", ok=True, sentence=sentence, warns=bool(found))


def _boxes(workspace: Workspace) -> HealthCheck:
    """Check whether something that other nodes say waits for a person."""
    waiting = workspace.catalog.peers.requests()
    names = ", ".join(sorted({one.node for one in waiting}))
    sentence = _("nothing that other nodes say waits here")
    if waiting:
        sentence = ngettext(
            "{names}: what they say of {count} flight that they did not bring waits; see: flycam box list",
            "{names}: what they say of {count} flights that they did not bring waits; see: flycam box list",
            len({one.flight_id for one in waiting}),
            names=names,
        )
    return HealthCheck(name="boxes", ok=True, sentence=sentence, warns=bool(waiting))


def _is_open(place: Path) -> bool:
    """Return True if group or others have access.

    False on file systems without modes (FAT).
    """
    try:
        if not stat.S_IMODE(place.stat().st_mode) & 0o077:
            return False
        with tempfile.TemporaryFile(dir=place if place.is_dir() else place.parent) as file:
            return not stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
    except OSError:  # missing, or not writable by this account
        return place.exists()


def _power(power: Power) -> HealthCheck:
    battery_state = power.battery
    ok = battery_state is None or not battery_state.is_in_use or battery_state.percent >= SCARCE_PERCENT
    if battery_state is None:
        source = _("no battery is reported")
    elif not battery_state.is_in_use:
        source = _("on mains, battery {percent:.0f} %", percent=battery_state.percent)
    elif battery_state.remaining_s is None:
        source = _("on battery, {percent:.0f} %", percent=battery_state.percent)
    else:
        source = _(
            "on battery, {percent:.0f} %, {hours:.1f} h left",
            percent=battery_state.percent,
            hours=battery_state.remaining_s / 3600,
        )
    parts = [source]
    if power.is_low:
        parts.append(_("low power is on: one core"))
    if not ok:
        parts.append(_("charge it"))
    return HealthCheck(name="power", ok=ok, sentence=join(parts, "; "))


def _clock(workspace: Workspace) -> HealthCheck:
    ok = datetime.fromtimestamp(workspace.clock_ns() / 1e9, UTC) >= _RELEASED
    now, zone = format_minute(workspace.clock_ns()), format_utc_offset(workspace.clock_ns())
    sentence = _("the clock says {now} ({zone})", now=now, zone=zone)
    if not ok:
        sentence = join([sentence, _("it is wrong, set it")], "; ")
    return HealthCheck(name="clock", ok=ok, sentence=sentence)


def _store(workspace: Workspace) -> HealthCheck:
    check_store_writable(workspace)
    return HealthCheck(name="store", ok=True, sentence=_("the store keeps and returns what is written"))


def _catalogue(workspace: Workspace) -> HealthCheck:
    sentence = ngettext(
        "the catalogue opens and holds {count} flight",
        "the catalogue opens and holds {count} flights",
        len(workspace.catalog.flights.flights()),
    )
    return HealthCheck(name="catalogue", ok=True, sentence=sentence)


def _unfinished(workspace: Workspace) -> HealthCheck:
    """List what a kill or a power cut left, each with the command that completes it."""
    left = [one.sentence for one in list_interrupted_flights(workspace)]
    sentence = join(left, "; ") if left else _("nothing was left half-done")
    return HealthCheck(name="unfinished", ok=not left, sentence=sentence)


def _readback(workspace: Workspace) -> HealthCheck:
    """Report when `verify` last found the data intact; no flight waits for it."""
    flights = workspace.catalog.flights.flights()
    ledger, parts = VerifyLedger(workspace.cache_dir, workspace.clock_ns()), list_inventory_parts(flights)
    times = [ns for part in parts if (ns := ledger.get_read_time(part))]
    since = format_minute(min(times, default=0))
    if not flights:
        sentence = _("nothing is kept yet that could be read back")
    elif len(times) == len(parts):
        sentence = _("all that is kept was read back whole since {since}", since=since)
    elif times:
        sentence = _(
            "{percent} % of what is kept was read back whole since {since}; the rest: flycam verify",
            percent=100 * len(times) // len(parts),
            since=since,
        )
    else:
        sentence = _("what is kept was never read back: flycam verify")
    return HealthCheck(name="readback", ok=True, sentence=sentence)


def _backup(workspace: Workspace) -> HealthCheck:
    """Check the age of the last backup.

    A warning only, as it does not prevent a flight.
    """
    line = workspace.catalog.audit.last("backup")
    if line is not None:
        sentence = _("last saved {time} in {folder}", time=format_minute(line.at_ns), folder=line.subject)
        is_old = workspace.clock_ns() - line.at_ns > _OLD_BACKUP_S * 1e9
    else:
        sentence = _("never saved")
        is_old = bool(workspace.catalog.flights.flights())
    if is_old:
        sentence = join([sentence, _("save it on another disk: flycam backup DIR")], "; ")
    return HealthCheck(name="backup", ok=True, sentence=sentence, warns=is_old)


def _accounts(workspace: Workspace) -> HealthCheck:
    """Count the accounts; a node without any is ready for flights all the same."""
    count = len(workspace.catalog.accounts.all())
    sentence = ngettext("{count} account", "{count} accounts", count)
    if not count:
        sentence = _(
            "none yet: only this machine is let in; the first is made on the map: flycam account code"
        )
    return HealthCheck(name="accounts", ok=True, sentence=sentence)


def _terrain(workspace: Workspace) -> HealthCheck:
    dems = workspace.catalog.terrain.dems()
    sentence = _("no terrain is registered, so slopes will be misplaced; add it with 'flycam dem add FILE'")
    if dems:
        names = ", ".join(sorted(dem.name for dem in dems))
        sentence = ngettext(
            "{count} terrain file: {names}", "{count} terrain files: {names}", len(dems), names=names
        )
    return HealthCheck(name="terrain", ok=bool(dems), sentence=sentence)


def _communes(workspace: Workspace) -> HealthCheck:
    count = len(workspace.catalog.boundaries.communes())
    sentence = ngettext("{count} commune", "{count} communes", count)
    if not count:
        sentence = _("no commune boundaries; add them with 'flycam communes add FILE'")
    return HealthCheck(name="communes", ok=count > 0, sentence=sentence)


def _film() -> HealthCheck:
    """Look for the video encoder; only exercises need it, so the check never fails."""
    sentence = _("{program} is installed: 'flycam drill --video' can render videos", program=PROGRAM)
    if not has_encoder():
        sentence = _(
            "no {program}, which only 'flycam drill --video' needs: install {packages}",
            program=PROGRAM,
            packages=PACKAGES,
        )
    return HealthCheck(name="film", ok=True, sentence=sentence)
