"""An endpoint, in a process of its own, whose replies are made to exhaust or confuse a client.

    python -m tests.evaluation.calls.hostile_server

Prints its port and serves until its input ends. The first part of a call's path is what it does:
``http://127.0.0.1:PORT/KIND``.
"""

import asyncio
import sys
import zlib
from collections.abc import Callable
from functools import cache

MB = 1 << 20
BEGIN = b'{"choices": [{"finish_reason": "stop", "message": {"content": "'
END = b'VERDICT: A"}}]}'
GOOD = BEGIN + END


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def bomb(megabytes: int) -> bytes:
    """Return a gzip of a completion with so many megabytes of blanks."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [pack.compress(BEGIN), *(pack.compress(b" " * MB) for _ in range(megabytes))]
    return b"".join([*pieces, pack.compress(END), pack.flush()])


@cache
def two_gigabytes_packed() -> bytes:
    return http(bomb(2048), headers="Content-Encoding: gzip\r\n")


@cache
def two_hundred_megabytes() -> bytes:
    return http(BEGIN + b"x" * (200 * MB) + END)


def says(content: str) -> bytes:
    """Return a reply whose text is this JSON, escapes included."""
    return http(GOOD.replace(b"VERDICT: A", content.encode()))


def busy(wait: str) -> bytes:
    return http(b"busy", "429 Too Many Requests", f"Retry-After: {wait}\r\n")


KINDS: dict[str, Callable[[str], bytes]] = {
    "good": lambda _: http(GOOD),
    "gzip": lambda _: http(bomb(0), headers="Content-Encoding: gzip\r\n"),
    "surrogate": lambda _: says(r"half \ud83d\nVERDICT: A"),
    "surrogate-in-an-error": lambda _: http(rb'{"error": {"message": "\ud83d"}}', "400 Bad"),
    "surrogate-in-the-end": lambda _: http(GOOD.replace(b"stop", rb"\ud83d")),
    "deep": lambda _: http(b"[" * 200_000),
    "deep-inside": lambda _: http(GOOD[:-1] + b', "x": ' + b"[" * 90_000 + b"]" * 90_000 + b"}"),
    "deep-error": lambda _: http(b'{"a":' * 900 + b"1" + b"}" * 900, "400 Bad"),
    "giant-count": lambda _: http(
        GOOD[:-1] + b', "usage": {"prompt_tokens": 1' + b"0" * 400 + b', "completion_tokens": 3}}'
    ),
    "huge-integer": lambda _: http(GOOD[:-1] + b', "usage": {"prompt_tokens": 1' + b"0" * 9000),
    "odd-counts": lambda _: http(
        GOOD[:-1] + b', "usage": {"prompt_tokens": true, "completion_tokens": -1}}'
    ),
    "nan": lambda _: http(GOOD.replace(b'"VERDICT: A"', b"NaN")),
    "wait-for-a-giant-year": lambda _: busy("Fri, 31 Dec 99999999999999999999 23:59:59 GMT"),
    "wait-in-a-giant-zone": lambda _: busy("Fri, 31 Dec 2030 23:59:59 +99999999999999999999"),
    "wait-in-no-zone": lambda _: busy("Fri, 31 Dec 9999 23:59:59 -9959"),
    "wait-for-ever": lambda _: busy("1e999"),
    "no-gzip": lambda _: http(b"not", headers="Content-Encoding: gzip\r\n"),
    "other-packing": lambda _: http(b"not", headers="Content-Encoding: br\r\n"),
    "bad-utf8": lambda _: http(BEGIN + b"\xff\xfe\xc3\x28" + END),
    "control": lambda _: says(r"\u0000\u001b[2J\u202e\nVERDICT: A"),
    "colons": lambda _: says("VERDICT" + ":" * 200_000),
    "no-http": lambda _: b"SSH-2.0-OpenSSH\r\n",
    "negative-length": lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    "giant-header": lambda _: b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    "no-content": lambda _: b"HTTP/1.1 204 No Content\r\n\r\n",
    "odd-status": lambda _: http(b"{}", "999 Odd"),
    "key": says,
    "key-escaped": lambda key: says("".join(f"\\u{ord(each):04x}" for each in key)),
    "key-in-url": lambda key: says("".join(f"%{ord(each):02X}" for each in key)),
    "key-in-html": lambda key: says("".join(f"&#{ord(each)};" for each in key)),
    "key-in-hex": lambda key: says(key.encode().hex()),
    "key-escaped-in-an-error": lambda key: http(
        ('{"error": "' + "".join(f"\\u{ord(each):04x}" for each in key) + '"}').encode(), "400 Bad"
    ),
    "chunked": lambda _: b"0\r\n\r\n",
    "bomb": lambda _: two_gigabytes_packed(),
    "big": lambda _: two_hundred_megabytes(),
}


async def write_chunks(writer: asyncio.StreamWriter) -> None:
    """Write two gigabytes of which nobody has said how many they will be."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(2048):
        writer.write(b"100000\r\n" + b"x" * MB + b"\r\n")
        await writer.drain()


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
            await reader.readexactly(int(fields["content-length"]))
            key = next((line.split()[-1] for line in head if line.startswith("Authorization")), "")
            kind = head[0].split()[1].split("/")[1]
            if kind == "chunked":
                await write_chunks(writer)
            for start in range(0, len(reply := KINDS[kind](key)), MB):
                writer.write(reply[start : start + MB])
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve() -> None:
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
