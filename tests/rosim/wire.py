"""The words and sentences of RouterOS's API, on asyncio streams. Written from the manual, apart from agent/router/ros_codec.c."""
import asyncio

MAX_WORD = 4 * 1024 * 1024  # a client that announces more is refused, as by a router that has no memory for it


def encode_length(length):
    for extra, (limit, mark) in enumerate(((0x80, 0), (0x4000, 0x80), (0x200000, 0xC0), (0x10000000, 0xE0), (1 << 32, 0xF0))):
        if length < limit:
            data = length.to_bytes(extra + 1, "big")
            return bytes([data[0] | mark]) + data[1:]
    raise ValueError(f"no word has {length} bytes")


def encode_sentence(words):
    data = bytearray()
    for word in words:
        raw = word if isinstance(word, bytes) else word.encode("utf-8", "surrogateescape")
        data += encode_length(len(raw)) + raw
    return bytes(data + b"\0")


async def read_word(reader):
    first = (await reader.readexactly(1))[0]
    if first < 0x80:
        length = first
    elif first < 0xF0:
        extra = 1 if first < 0xC0 else 2 if first < 0xE0 else 3
        mask = (0x3F, 0x1F, 0x0F)[extra - 1]
        length = (first & mask) << 8 * extra | int.from_bytes(await reader.readexactly(extra), "big")
    elif first == 0xF0:
        length = int.from_bytes(await reader.readexactly(4), "big")
    else:
        raise ValueError(f"reserved length byte {first:#x}")
    if length > MAX_WORD:
        raise ValueError(f"word of {length} bytes")
    return (await reader.readexactly(length)).decode("utf-8", "surrogateescape")


async def read_sentence(reader):
    """The next sentence that is not empty; None at the end of the stream."""
    words = []
    while True:
        try:
            word = await read_word(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        if word:
            words.append(word)
        elif words:
            return words
