"""Text from files of others is safe to print."""

from iscc_lidar.shared.base.text import counted, one_line


def test_control_characters_and_bytes_that_are_not_text_are_printed_as_escapes() -> None:
    assert one_line("a\x1b[2Jb\n\udcff ä") == "a\\x1b[2Jb\\n\\udcff ä"


def test_one_is_singular() -> None:
    assert [counted(number, "sweep") for number in (0, 1, 2)] == ["0 sweeps", "1 sweep", "2 sweeps"]
