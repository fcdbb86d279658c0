"""Chat server on asyncio with uvloop: python3 chat.py PORT"""

import asyncio
import sys

import uvloop

LINE_MAX = 1024
UNSENT_MAX = 1024 * 1024

members = set()


class Member(asyncio.Protocol):
    def connection_made(self, transport):  # TCP_NODELAY is set
        self.transport = transport
        self.rest = b""  # an unfinished line
        transport.set_write_buffer_limits(high=UNSENT_MAX)
        members.add(transport)

    def data_received(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if len(line) > LINE_MAX:
                return self.leave()
            line += b"\n"
            for member in members:
                member.write(line)
        if len(self.rest) > LINE_MAX:
            self.leave()

    def pause_writing(self):  # more than UNSENT_MAX is unsent
        self.transport.abort()  # and no leave(): the members are being walked

    def connection_lost(self, error):
        members.discard(self.transport)

    def leave(self):
        members.discard(self.transport)
        self.transport.abort()


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Member, "127.0.0.1", int(sys.argv[-1]), backlog=4096)  # sets SO_REUSEADDR
    await server.serve_forever()


uvloop.install()
asyncio.run(main())
