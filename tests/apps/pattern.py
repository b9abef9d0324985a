"""The bytes that are sent both ways, so that either end knows what must arrive."""

BLOCK = bytes(at % 251 for at in range(65536))


def pattern(length):
    """Blocks of `length` bytes in all."""
    while length > 0:
        yield BLOCK[:length]
        length -= len(BLOCK)
