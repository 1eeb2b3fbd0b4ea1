"""A key that this installation keeps for itself."""

import secrets
from pathlib import Path
from typing import Final

from chaintide.streams.errors import ConfigError

FILE_NAME: Final = "cursor.key"
BYTES: Final = 32


def cursor_key(data_dir: Path, given: str) -> bytes:
    """Return the key that signs cursors: the given one, or a random one kept in ``data_dir``.

    All processes of one data directory use the same, whoever makes it first.

    Raises:
        ConfigError: If it can be neither read nor made.
    """
    if given:
        return given.encode()
    path = data_dir / FILE_NAME
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; or set CHAINTIDE_CURSOR_KEY") from error


def _make(path: Path) -> None:
    """Write a key beside ``path`` and link it there, which only the first one can do."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    draft.touch(mode=0o600)
    draft.write_bytes(secrets.token_bytes(BYTES))
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
