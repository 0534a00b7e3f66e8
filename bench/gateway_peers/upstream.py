"""`python -m bench.gateway_peers.upstream PORT`: answers at once, as a host would whose model takes no time.

POST with "stream":true: 50 lines in 50 writes. A question with "wait": one line, then silence; one
that begins with "think": its whole answer a tenth of a second later.
GET /seen: {question: times}.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import cast

import uvloop

CHUNKS = 50
THINKS_S = 0.1
LINE = (
    b'{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"word "},"done":false}\n'
)
LAST = (
    b'{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":""},"done":true,'
    b'"done_reason":"stop","total_duration":9,"prompt_eval_count":11,"eval_count":50}\n'
)
WHOLE = LAST.replace(b'"content":""', b'"content":"billing"')
OPENAI = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"billing"}}],"usage":{"prompt_tokens":11,"completion_tokens":1,'
    b'"total_tokens":12}}'
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def chunk(line: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(line), line)


ANSWER, OPENAI_ANSWER = whole(WHOLE), whole(OPENAI)
CHUNK, LAST_CHUNK = chunk(LINE), chunk(LAST) + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Requests one after the other on a connection; bodies by Content-Length."""

    seen: Counter[str] = Counter()

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class.

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get /seen"):
            self.transport.write(whole(json.dumps(self.seen).encode()))
            return
        if b"question-" in body:
            self.seen[body.partition(b"question-")[2].partition(b'"')[0].decode()] += 1
        if b'"think' in body:
            asyncio.get_running_loop().call_later(THINKS_S, self.transport.write, ANSWER)
        elif b'"stream":true' not in body and b'"stream": true' not in body:
            self.transport.write(OPENAI_ANSWER if head.startswith(b"post /v1/") else ANSWER)
        elif b'"wait"' in body:
            self.transport.write(STREAM_HEAD + CHUNK)
        else:
            asyncio.get_running_loop().create_task(self.stream())

    async def stream(self) -> None:
        self.transport.write(STREAM_HEAD)
        for _ in range(CHUNKS):
            self.transport.write(CHUNK)
            await asyncio.sleep(0)
        self.transport.write(LAST_CHUNK)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
