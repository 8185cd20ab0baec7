"""The signed audit log, on every database: what the chain alone does not find, the signatures do."""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flycam.catalog.audit import _digest
from flycam.catalog.audit_key import AuditFault, AuditKey, Signer
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.errors import StorageFailed


class AuditSuite(ABC):
    """Inherit it, give `url` (an empty database) and `tamper`."""

    @pytest.fixture
    def key(self, tmp_path: Path) -> Path:
        return tmp_path / "máy" / "audit.key"

    @abstractmethod
    def tamper(self, url: str, statement: str) -> None:
        """Change the database behind the catalogue's back."""

    def write_anew(self, catalog: Catalog, url: str, seq: int, signer: Signer | None = None) -> None:
        """What somebody can do who may write the database: line `seq` says something else, and the chain from
        it on is right again; signed by a key of theirs, where they have one."""
        before = catalog.audit.lines(since=seq - 2, limit=1)[0].digest
        for line in catalog.audit.lines(since=seq - 1):
            detail = "khác" if line.seq == seq else line.detail
            before = _digest(before, line.seq, line.at_ns, line.who, line.what, line.subject, detail)
            where = f"WHERE seq = {line.seq}"
            self.tamper(url, f"UPDATE audit_log SET detail = '{detail}', digest = '{before}' {where}")
            if signer is not None:
                signature = signer.sign(line.seq, before)
                said = f"signed_by = '{signer.public}', signature = '{signature}'"
                self.tamper(url, f"UPDATE audit_signatures SET {said} {where}")

    def test_every_line_is_signed(self, url: str, key: Path) -> None:
        with open_catalog(url, key) as catalog:
            assert catalog.audit.key() == "" and catalog.audit.signed_head() is None
            lines = _written(catalog, 3)
            check = catalog.audit.verify_chain()
            assert (check.first_bad, check.fault) == (None, None)
            (signed,) = check.signed_by
            assert (signed.key, signed.is_known) == (catalog.audit.key(), True)
            assert (signed.first, signed.last, signed.lines) == (1, 3, 3)
            head = catalog.audit.signed_head()
            assert head is not None and head.head_argument == f"3:{lines[-1]}" and head.key == signed.key
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        with open_catalog(url, key) as again:
            _written(again, 1)
            assert [one.lines for one in again.audit.verify_chain().signed_by] == [4]

    def test_a_chain_written_anew_is_found_by_its_signatures(self, url: str, key: Path) -> None:
        with open_catalog(url, key) as catalog:
            _written(catalog, 5)
            self.write_anew(catalog, url, 3)
            with open_catalog(url) as unsigned:
                assert unsigned.audit.verify_chain(()).fault is AuditFault.FORGED, "without the key too"
            assert _found(catalog) == (3, AuditFault.FORGED)
            _written(catalog, 1)
            assert _found(catalog) == (3, AuditFault.FORGED), "what is signed later does not heal it"
            self.tamper(url, "DELETE FROM audit_signatures WHERE seq >= 3")
            assert _found(catalog) == (3, AuditFault.UNSIGNED)
            self.tamper(url, "DELETE FROM audit_signatures")
            assert _found(catalog) == (1, AuditFault.UNSIGNED)

    def test_lines_of_a_stranger_are_found_and_those_of_another_box_may_be_known(
        self, url: str, key: Path, tmp_path: Path
    ) -> None:
        with open_catalog(url, key) as catalog:
            _written(catalog, 5)
            stranger = AuditKey(tmp_path / "stranger.key").get_or_create(0, "")
            self.write_anew(catalog, url, 4, stranger)
            assert _found(catalog) == (4, AuditFault.UNKNOWN)
            assert catalog.audit.verify_chain([stranger.public]).first_bad is None
        with open_catalog(url, key, [stranger.public]) as catalog:
            assert [one.is_known for one in catalog.audit.verify_chain().signed_by] == [True, True]

    def test_lines_cut_off_are_found_by_the_signatures_left(self, url: str, key: Path) -> None:
        with open_catalog(url, key) as catalog:
            _written(catalog, 5)
            self.tamper(url, "DELETE FROM audit_log WHERE seq >= 4")
            assert _found(catalog) == (4, AuditFault.CHANGED)
            _written(catalog, 1)  # and the log can still be written
            assert _found(catalog) == (4, AuditFault.FORGED)

    def test_what_was_written_before_the_key_is_pinned_by_it(self, url: str, key: Path) -> None:
        with open_catalog(url) as catalog:
            _written(catalog, 3)
            assert catalog.audit.verify_chain().signed_by == ()
        with open_catalog(url, key) as catalog:
            assert catalog.audit.verify() is None
            _written(catalog, 2)
            (signed,) = catalog.audit.verify_chain().signed_by
            assert (signed.first, signed.last) == (4, 5)
            self.tamper(url, "DELETE FROM audit_signatures")
            self.write_anew(catalog, url, 2)
            assert _found(catalog) == (3, AuditFault.CHANGED)

    def test_a_log_that_came_from_another_box_goes_on_under_this_ones_key(
        self, url: str, key: Path, tmp_path: Path
    ) -> None:
        with open_catalog(url, tmp_path / "before.key") as catalog:
            _written(catalog, 2)
            first = catalog.audit.key()
        with open_catalog(url, key) as catalog:
            _written(catalog, 2)
            check = catalog.audit.verify_chain()
            assert check.first_bad is None
            assert [(one.key, one.first, one.last, one.is_known) for one in check.signed_by] == [
                (first, 1, 2, False),
                (catalog.audit.key(), 3, 4, True),
            ]
            self.tamper(url, "DELETE FROM audit_log WHERE seq >= 2")
            self.tamper(url, "DELETE FROM audit_signatures WHERE seq >= 2")
            assert _found(catalog) == (2, AuditFault.CHANGED), "the key knows that there were two"

    def test_many_at_once_are_signed_by_one_key(self, url: str, key: Path) -> None:
        with (
            open_catalog(url, key) as catalog,
            open_catalog(url, key) as other,
            ThreadPoolExecutor(6) as pool,
        ):
            both = (catalog, other)
            list(pool.map(lambda i: both[i % 2].audit.append("a", "see", str(i)), range(20)))
            check = catalog.audit.verify_chain()
            assert (check.first_bad, [one.lines for one in check.signed_by]) == (None, [20])

    def test_where_no_key_can_be_kept_nothing_is_written(self, url: str, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with open_catalog(url, tmp_path / "file" / "audit.key") as catalog:
            with pytest.raises(StorageFailed, match=r"audit\.key"):
                _written(catalog, 1)
            assert catalog.audit.lines() == []

    @pytest.mark.parametrize(
        "spoilt", [b"", b"{}", b"[1]", b'{"seed": "00", "after": 0, "digest": ""}', b"\xff"]
    )
    def test_a_spoilt_key_is_said_and_left_as_it_is(self, url: str, tmp_path: Path, spoilt: bytes) -> None:
        path = tmp_path / "audit.key"
        path.write_bytes(spoilt)
        with open_catalog(url, path) as catalog:
            with pytest.raises(StorageFailed, match=r"audit\.key.*move it away"):
                _written(catalog, 1)
            assert catalog.audit.lines() == [] and path.read_bytes() == spoilt


def _written(catalog: Catalog, count: int) -> list[str]:
    return [catalog.audit.append("bưởi", "withdraw", f"frame {i}", "nhà dân").digest for i in range(count)]


def _found(catalog: Catalog) -> tuple[int | None, AuditFault | None]:
    check = catalog.audit.verify_chain()
    return check.first_bad, check.fault
