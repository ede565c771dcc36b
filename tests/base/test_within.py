"""Links of a checkout and of an image."""

from pathlib import Path

from builder.base import within


def test_a_copy_writes_through_no_link_that_lies_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "from/deep").mkdir(parents=True)
    (tmp_path / "from/deep/file").write_text("new")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_text("mine")
    (tmp_path / "to").mkdir()
    (tmp_path / "to/deep").symlink_to(tmp_path / "elsewhere")
    within.copy(str(tmp_path / "from"), str(tmp_path / "to"))
    assert (tmp_path / "elsewhere/file").read_text() == "mine"
    assert (tmp_path / "to/deep/file").read_text() == "new"
    assert not (tmp_path / "to/deep").is_symlink()
