"""The root file system that an image declares for its installation."""

import pytest

from pipeline.image.root_filesystem import declared
from pipeline.image.tree import Tree

XFS = '[install.filesystem.root]\ntype = "xfs"\n'


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"00-os.toml": XFS}, "xfs"),
        ({"00-os.toml": XFS, "50-mine.toml": '[install]\nroot-fs-type = "ext4"\n'}, "ext4"),
        ({"00-os.toml": XFS, "50-kargs.toml": '[install]\nkargs = ["quiet"]\n'}, "xfs"),
        ({"00-os.toml": XFS, "90-broken.toml": "[install"}, "xfs"),
        ({"00-os.toml": XFS, "90-deep.toml": "x = " + "[" * 50_000}, "xfs"),
        ({"00-os.toml": XFS, "90-long.toml": "x = " + "9" * 5000}, "xfs"),
        ({"00-os.toml": "install = 3\n"}, "none declared"),
        ({"README": XFS}, "none declared"),
        ({}, "none declared"),
    ],
)
def test_the_last_file_that_says_it_counts(tmp_path, files, expected):
    folder = tmp_path / "usr/lib/bootc/install"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    assert declared(Tree(tmp_path)) == expected
