"""Where data sets are looked for, and what is said when one is not there."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from edgeacts.errors import UsageError

ENVIRONMENT = "EDGEACTS_DATA"
SYSTEM_FOLDER = Path("/usr/share/datasets")  # where Debian's dataset-* packages put theirs

T = TypeVar("T")


def find(
    name: str,
    root: Path | None,
    folders: Sequence[str],
    look: Callable[[Path], T | None],
    wanted: str,
    cure: str,
) -> T:
    """What `look` returns for the first folder that has the data set.

    Looked in, in this order: `root`/F for F in `folders`, `root` itself, then F below $EDGEACTS_DATA and
    below the system's folder. Raises UsageError that says what was wanted, where, and `cure`, how to get it.
    """
    if root is not None and not root.is_dir():
        raise UsageError(f"data root {root} is not a folder: give the folder that holds {name}")
    places = list(_places(root, folders))
    for place in places:
        found = look(place)
        if found is not None:
            return found
    raise UsageError(
        f"{name} not found: looked for {wanted} in {', '.join(map(str, places))}; {cure}, "
        f"or give their folder with --data-root DIR or the environment variable {ENVIRONMENT}"
    )


def file_names(folder: Path) -> frozenset[str]:
    """Names in a folder; none if there is no such folder. Raises UsageError when it cannot be read."""
    try:
        return frozenset(entry.name for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise UsageError(f"data folder {folder} cannot be read: {error.strerror or error}") from None


def _places(root: Path | None, folders: Sequence[str]) -> Iterator[Path]:
    """Of the environment's and the system's folder only subfolders: they hold sets with equal file names."""
    if root is not None:
        yield from (root / folder for folder in folders)
        yield root
    environment = os.environ.get(ENVIRONMENT)
    if environment:
        yield from (Path(environment) / folder for folder in folders)
    yield SYSTEM_FOLDER / folders[0]
