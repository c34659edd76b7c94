"""Clients that run beside a daemon, in its network namespace: `python -m tests.apiserver.clients NAME WORDS...`.

serve PORT                 listen on localhost and send back what comes; prints `ready` first
farewell PORT              send `bye` to one client, end, and only then read: prints `ready`, then what was read
ignore PORT                listen on localhost and read nothing; prints `ready` first
echo PORT BYTES COUNT      COUNT connections at once: send BYTES, end, and read them back; prints how many did
python_forward POD PORT    an HTTP request through the Python client's port-forward; prints the body
python_refused POD PORT    what the Python client is told of a port that nobody listens on
python_flood POD PORT      send what fits through the Python client's port-forward, print `sent`, wait to be ended
python_exec POD            a conversation with a shell through the Python client's exec; prints what came and the code
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from kubernetes import client, config
from kubernetes.stream import portforward, stream


def serve(port: str) -> None:
    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(back, "127.0.0.1", int(port), backlog=1000)
        print("ready", flush=True)
        await server.serve_forever()

    asyncio.run(listen())


def farewell(port: str) -> None:
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        print("ready", flush=True)
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"bye")
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                print(piece.decode(), end="")


def ignore(port: str) -> None:
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        print("ready", flush=True)
        kept = []
        while True:
            kept.append(listener.accept())


def echo(port: str, size: str, count: str) -> None:
    def one(_: int) -> bool:
        data, back = os.urandom(int(size)), bytearray()
        with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as connection:

            def send() -> None:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send)
            sender.start()
            while piece := connection.recv(65536):
                back += piece
            sender.join()
        return back == data

    with ThreadPoolExecutor(int(count)) as pool:
        print(sum(pool.map(one, range(int(count)))))


def python_forward(pod: str, port: str) -> None:
    forwarded = portforward(client.CoreV1Api().connect_get_namespaced_pod_portforward, pod, "default", ports=port)
    connection = http.client.HTTPConnection("pod", int(port))
    connection.sock = forwarded.socket(int(port))
    connection.request("GET", "/")
    print(connection.getresponse().read().decode(), end="")


def python_refused(pod: str, port: str) -> None:
    forwarded = portforward(client.CoreV1Api().connect_get_namespaced_pod_portforward, pod, "default", ports=port)
    assert forwarded.socket(int(port)).recv(1) == b""
    print(forwarded.error(int(port)))


def python_flood(pod: str, port: str) -> None:
    forwarded = portforward(client.CoreV1Api().connect_get_namespaced_pod_portforward, pod, "default", ports=port)
    sender = forwarded.socket(int(port))
    sender.settimeout(2)
    with contextlib.suppress(TimeoutError):  # all that is between here and the pod is full
        sender.sendall(bytes(20_000_000))
    print("sent", flush=True)
    threading.Event().wait()


def python_exec(pod: str) -> None:
    opened = stream(
        client.CoreV1Api().connect_get_namespaced_pod_exec,
        pod,
        "default",
        command=["sh", "-c", "read x; echo out $x; echo err >&2; exit 7"],
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    opened.write_stdin("in\n")
    opened.run_forever(timeout=10)
    print(opened.read_stdout(), opened.read_stderr(), opened.returncode, sep="", end="")


COMMANDS: dict[str, Callable[..., None]] = {
    "serve": serve,
    "farewell": farewell,
    "ignore": ignore,
    "echo": echo,
    "python_forward": python_forward,
    "python_refused": python_refused,
    "python_flood": python_flood,
    "python_exec": python_exec,
}

if __name__ == "__main__":
    command, words = COMMANDS[sys.argv[1]], sys.argv[2:]
    if command not in (serve, farewell, ignore, echo):
        config.load_kube_config()
    command(*words)
