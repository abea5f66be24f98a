"""Text from files of others is safe to print."""

from iscc_lidar.shared.base.text import one_line


def test_control_characters_and_bytes_that_are_not_text_are_printed_as_escapes() -> None:
    assert one_line("a\x1b[2Jb\n\udcff ä") == "a\\x1b[2Jb\\n\\udcff ä"
