"""What Java is told, as Java reads it."""

from compose.embedded import java


def test_a_properties_file_is_ascii_and_keeps_every_character_of_a_path() -> None:
    written = java.properties({"dir": "/größe/日本 🎈", "windows": "C:\\new", "lines": "a\nb"})

    assert written.splitlines() == [
        r"dir=/gr\u00f6\u00dfe/\u65e5\u672c \ud83c\udf88",
        r"windows=C:\\new",
        r"lines=a\nb",
    ]


def test_a_space_in_front_of_a_value_is_kept() -> None:
    assert java.properties({"name": " x"}) == "name=\\ x\n"
