"""PORT TLS_PORT PEM: the health service of grpcio, until it is told to stop."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

port, tls_port, pem = sys.argv[1:]
server = grpc.server(ThreadPoolExecutor(2))
servicer = health.HealthServicer()
servicer.set("printing", health_pb2.HealthCheckResponse.NOT_SERVING)
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
both = Path(pem).read_bytes()
server.add_insecure_port(f"127.0.0.1:{port}")
server.add_secure_port(f"127.0.0.1:{tls_port}", grpc.ssl_server_credentials([(both, both)]))
server.start()
server.wait_for_termination()
