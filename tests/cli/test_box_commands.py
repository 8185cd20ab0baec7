"""`flycam box`, and what `flycam bundle` says of keys."""

from __future__ import annotations

from pathlib import Path

from tests.sync.test_command import call, run_json


def test_a_box_that_was_installed_anew_is_read_once_its_key_is_forgotten(tmp_path: Path) -> None:
    field, anew, province = (tmp_path / name for name in ("one/field", "two/field", "province"))
    written = {}
    for box in (field, anew):
        assert call(box, "doctor", "--json").exit_code in (0, 4)
        written[box] = run_json(box, "bundle", "write", tmp_path / f"{box.parent.name}.fcb")["key"]
        assert run_json(box, "audit", "verify")["key"] == written[box]
    read = run_json(province, "bundle", "read", tmp_path / "one.fcb")
    assert (read["box"], read["key"], read["is_new"]) == ("field", written[field], True)
    path = tmp_path / "two.fcb"
    refused = call(province, "bundle", "read", path)
    assert refused.exit_code == 4 and path.name in refused.stderr and "flycam box forget" in refused.stderr
    assert run_json(province, "box", "forget", "field") == {"box": "field", "key": written[field]}
    again = call(province, "box", "forget", "field", language="vi_VN.UTF-8")
    assert again.exit_code == 3 and "field: " in again.stderr
    read = run_json(province, "bundle", "read", path)
    assert (read["key"], read["is_new"]) == (written[anew], True)
    assert run_json(province, "bundle", "read", path)["is_new"] is False
    assert run_json(province, "audit", "verify")["whole"] is True
