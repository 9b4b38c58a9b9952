"""HTTP and WebSocket by hand, for what no well-behaved client would say."""
import os
import socket
import struct

from serving import Answer

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class RawConnection:
    def __init__(self, port, patience=20):
        self.socket = socket.create_connection(("127.0.0.1", port), patience)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """What the other side takes: it may have answered and gone before the end."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self):
        """False: the connection has ended."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def read(self, length):
        while len(self.buffer) < length and self.receive():
            pass
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data

    def answer(self):
        """None: the connection ended without one."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.receive():
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        answer = Answer(int(lines[0].split()[1]), headers, b"")
        answer.body = self.read(int(answer.header("Content-Length") or 0))
        return answer

    def frame(self):
        """(opcode, payload); None: the connection ended."""
        head = self.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 127
        if length == 126:
            length = struct.unpack(">H", self.read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.read(8))[0]
        return head[0] & 15, self.read(length)

    def close_code(self):
        """Of the close frame that comes at last; None: there is none."""
        while frame := self.frame():
            if frame[0] == 8:
                return struct.unpack(">H", frame[1][:2])[0] if frame[1] else 1005
        return None


def request(method, target, headers=(), body=b"", host="localhost"):
    """Latin-1, so that any byte can be said. A host of None is none."""
    lines = [f"{method} {target} HTTP/1.1"] + ([f"Host: {host}"] if host is not None else []) + list(headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def upgrade(headers=(), version="13", **more):
    return request("GET", "/ws", ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}",
                                  f"Sec-WebSocket-Version: {version}", *headers], **more)


def frame(payload, opcode=1, first=0x80, masked=True):
    """A client's frame; `first` are FIN and the reserved bits."""
    length, mask = len(payload), os.urandom(4)
    head = bytes([first | opcode])
    bit = 0x80 if masked else 0
    if length < 126:
        head += bytes([bit | length])
    elif length < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", length)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", length)
    if not masked:
        return head + payload
    key = int.from_bytes(mask * (length // 4 + 1), "big") >> (8 * (4 - length % 4))
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")
