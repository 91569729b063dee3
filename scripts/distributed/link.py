#!/usr/bin/env python3
"""What a TCP connection between two hosts reaches: latency and speed.

    link.py serve ADDRESS
    link.py measure ADDRESS [MB]    # on the other host; prints JSON

latency_us: one way, half of a round trip, the median. bytes_per_s: one way, of
400 MB or what is given.
"""

import json
import socket
import statistics
import sys
import time

PORT = 7700
TRIPS = 500
USUAL_MB = 400
CHUNK = bytes(1000 * 1000)


def without_delay(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def serve(address):
    """Answers one connection: each byte of the trips, then the end of what
    follows."""
    with socket.create_server((address, PORT)) as server:
        connection, _ = server.accept()
    with without_delay(connection):
        for _ in range(TRIPS):
            connection.sendall(connection.recv(1))
        while connection.recv(len(CHUNK)):
            pass
        connection.sendall(b".")


def connect(address):
    """A connection, once the other host serves."""
    for _ in range(100):
        try:
            return socket.create_connection((address, PORT), timeout=60)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise ConnectionRefusedError(f"nobody serves at {address}:{PORT}")


def measure(address, megabytes):
    """The numbers, in the words of this file's head."""
    trips_s = []
    with without_delay(connect(address)) as connection:
        for _ in range(TRIPS):
            begin = time.perf_counter()
            connection.sendall(b".")
            connection.recv(1)
            trips_s.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        for _ in range(megabytes):
            connection.sendall(CHUNK)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        seconds = time.perf_counter() - begin
    return {
        "latency_us": statistics.median(trips_s) / 2 * 1e6,
        "bytes_per_s": megabytes * len(CHUNK) / seconds,
    }


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        found = measure(sys.argv[2], int((*sys.argv, USUAL_MB)[3]))
        print(json.dumps(found))
