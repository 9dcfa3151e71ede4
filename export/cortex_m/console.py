"""Lines of the firmware's console as their reader sees them: checksums and fields.

Every line of the device ends in ` *XXXXXXXX`, the CRC-32 of what stands before the blank; a line to
it may end so too (firmware/protocol.h). Lines that begin with `# ` are messages of TFLM.

Not here: who sends them, over what (emulator.py, export/board).
"""

import re
import zlib

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""Token -> character of a line."""
MESSAGE = b"# "


def add_checksum(line: str) -> str:
    """Give a line its checksum."""
    return f"{line} *{zlib.crc32(line.encode()):08x}"


def check_line(line: bytes) -> str | None:
    """Cut a line's checksum off; None where it is not what the line says."""
    content, _, crc = line.rpartition(b" *")
    is_whole = crc == b"%08x" % zlib.crc32(content) and content.isascii()
    return content.decode() if is_whole else None


def read_fields(line: str) -> dict[str, str]:
    """Read the fields of a line: name=value, between blanks."""
    return dict(re.findall(r"(?<= )(\w+)=(\S*)", line))
