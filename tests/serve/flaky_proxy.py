"""A proxy before the server that loses what it is told to lose, and remembers what was asked."""
import socket
import threading


def read_message(connection):
    """Head and body; what came, where it breaks off."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        piece = connection.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body


class FlakyProxy:
    """lose(number, request, answer): how much of the answer the client gets; number counts requests from 0."""

    def __init__(self, port, lose=lambda number, request, answer: answer):
        self.port, self.lose, self.requests = port, lose, []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            with client:
                request = read_message(client)
                self.requests.append(request.decode("latin-1"))
                number = len(self.requests) - 1
                answer = self.ask(request)
                client.sendall(self.lose(number, self.requests[-1], answer))

    def ask(self, request):
        with socket.create_connection(("127.0.0.1", self.port)) as server:
            server.sendall(request)
            answer = b""
            while piece := server.recv(1 << 20):
                answer += piece
            return answer

    def close(self):
        self.listening.close()
