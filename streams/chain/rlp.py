"""Ethereum's way to write bytes and lists of them, as far as blocks need it."""

STRING = 0x80
LIST = 0xC0


def header(kind: int, size: int) -> bytes:
    """Return what is written before ``size`` bytes: ``kind`` is ``STRING`` or ``LIST``.

    >>> header(STRING, 3).hex(), header(LIST, 1024).hex()
    ('83', 'f90400')
    """
    if size < 56:
        return bytes((kind + size,))
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((kind + 55 + len(length),)) + length


def string(raw: bytes) -> bytes:
    """Return ``raw`` as it is written.

    >>> string(b"7").hex(), string(b"77").hex()
    ('37', '823737')
    """
    return raw if len(raw) == 1 and raw[0] < STRING else header(STRING, len(raw)) + raw


def joined(items: bytes) -> bytes:
    """Return the list of what is written in ``items``.

    >>> joined(string(b"7") + string(b"77")).hex()
    'c437823737'
    """
    return header(LIST, len(items)) + items
