"""One puzzle row out of a file of the published size, without the rest of it."""

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from export.cortex_m.row_file import HEADER, Depth, RowFile, padding, read_puzzle_row, write_rows

SMALL = RowFile(
    model_id=bytes(32),
    seq=4,
    prefix=1,
    depth=Depth(H_cycles=1, L_cycles=1, halt_max_steps=1),
    H_init=np.zeros(6, np.int16),
    L_init=np.zeros(6, np.int16),
    token_rows=np.ones((3, 6), np.int16),
    puzzle_rows=np.arange(30, dtype=np.int16).reshape(5, 6),
)
PUBLISHED = 50_911, 512  # rows and width of the seed's ARC table


def test_each_row_equals_the_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(write_rows(SMALL))
    for puzzle in range(5):
        row = read_puzzle_row(path, puzzle)
        assert row.dtype == np.int16
        np.testing.assert_array_equal(row, SMALL.puzzle_rows[puzzle])


def test_damage_and_rows_that_are_not_there_are_refused(tmp_path: Path) -> None:
    path, data = tmp_path / "rows.bin", bytearray(write_rows(SMALL))
    path.write_bytes(data)
    with pytest.raises(ValueError, match="puzzle rows 0 to 4, asked for 5"):
        read_puzzle_row(path, 5)
    first = len(data) - 5 * 4 - padding(5 * 4) - 5 * 12 - padding(5 * 12)
    data[first + 2 * 12] ^= 1
    path.write_bytes(data)
    read_puzzle_row(path, 1)
    with pytest.raises(ValueError, match=r"puzzle row 2 .* is damaged"):
        read_puzzle_row(path, 2)
    for damaged in (b"", b"TRMROWS0" + bytes(data[8:]), bytes(data[:-16])):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is no row file"):
            read_puzzle_row(path, 0)


def sparse_file(path: Path, puzzle: int, row: bytes) -> None:
    """Make a row file of the published size whose rows are holes but one."""
    ids, width = PUBLISHED
    header = list(HEADER.unpack_from(write_rows(SMALL)))
    header[4], header[5], header[8], header[9], header[10] = 0, 12, width, ids, width
    first = HEADER.size + 14 * width * 4
    first += padding(first)
    sums = first + ids * width * 4
    header[1] = sums + 4 * ids + padding(4 * ids)
    with path.open("wb") as file:
        file.write(HEADER.pack(*header))
        file.seek(first + puzzle * width * 4)
        file.write(row)
        file.seek(sums + 4 * puzzle)
        file.write(zlib.crc32(row).to_bytes(4, "little"))
        file.truncate(header[1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_row_of_the_published_table_costs_pages_not_megabytes(tmp_path: Path) -> None:
    """Resident memory of a process before and after: 104 MB of file, at most 1 MB in memory.

    A touched page may bring the 16 around it (fault-around, 64 KB), and three places are touched:
    header, row, checksum. What else grows is Python itself.
    """
    path = tmp_path / "rows.bin"
    row = np.arange(512, dtype=np.float32)
    sparse_file(path, 40_000, row.tobytes())
    assert path.stat().st_size > 104e6
    program = """if True:
        import sys
        from pathlib import Path
        from export.cortex_m.row_file import read_puzzle_row

        def resident():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(l.split()[1]) for l in lines if l.startswith("VmHWM"))

        before = resident()
        row = read_puzzle_row(Path(sys.argv[1]), 40_000)
        print(resident() - before, row.nbytes, row[511])
    """
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    grown, size, last = result.stdout.split()
    assert int(grown) <= 1024  # KB
    assert (int(size), float(last)) == (2048, 511.0)
