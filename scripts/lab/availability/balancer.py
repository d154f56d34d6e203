"""Restart three instances of the API in turn under load, behind a balancer, and count failures."""

import signal
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from scripts import CommandError
from scripts.lab.availability import parts
from scripts.lab.availability.history import Load, Target, check, kinds_of_answers, latency
from scripts.lab.availability.people import SECRET, People
from scripts.local import free_port
from scripts.local.postgres import EmbeddedPostgres
from scripts.local.postgrest import PostgREST
from scripts.local.processes import Process, answers

_INSTANCES = 3
# A planned restart: the instance is taken out of the balancer, stopped, started, and let in again.
# The others show what happens without that, and what a lost machine costs.
_WAYS = ("drained", "only stopped", "killed")
_CONFIG = """
global
  stats socket {socket} level admin
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  timeout check 1s
  option redispatch
  retries 3
  # Every call of ours may be repeated, and these were not even begun.
  retry-on conn-failure empty-response
frontend api
  bind 127.0.0.1:{port}
  default_backend instances
backend instances
  balance leastconn
  option httpchk GET /healthz
  default-server check inter 200ms fall 2 rise 1
{servers}
"""


@click.command(help=__doc__, epilog="It needs HAProxy: apt-get install haproxy")
@click.option("--rounds", type=int, default=1, show_default=True, help="Restarts of each.")
@click.option("--connections", type=int, default=8, show_default=True)
def main(rounds: int, connections: int) -> int:
    """Print each way of restarting, with its failures; 0 when the planned one has none."""
    return parts.run(lambda folder: _measure(folder, rounds, connections))


class Balancer:
    """HAProxy before the instances; its socket takes orders which of them to use."""

    def __init__(self, folder: Path, instances: Sequence[parts.Api]) -> None:
        """Write its configuration and start it."""
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._socket = folder / "haproxy.sock"
        servers = "\n".join(f"  server {n} 127.0.0.1:{one.port}" for n, one in enumerate(instances))
        config = folder / "haproxy.cfg"
        config.write_text(_CONFIG.format(socket=self._socket, port=port, servers=servers))
        self.process = Process(
            [parts.program("haproxy", "haproxy"), "-f", config], folder / "haproxy.log"
        )
        self.process.wait_until(lambda: answers(f"{self.url}/healthz"))

    def tell(self, words: str) -> str:
        """Give an order, and return the answer."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self._socket))
            line.sendall(f"{words}\n".encode())
            return b"".join(iter(lambda: line.recv(65536), b"")).decode()

    def drain(self, instance: int) -> None:
        """Send an instance nothing more, and return when it has answered everything."""
        self.tell(f"set server instances/{instance} state drain")
        parts.wait_for(
            lambda: self._column(instance, "scur") == "0", f"instance {instance} to be idle"
        )

    def let_in(self, instance: int) -> None:
        """Send it requests again, from its next good health check on."""
        self.tell(f"set server instances/{instance} state ready")
        parts.wait_for(
            lambda: self._column(instance, "status") == "UP", f"instance {instance} to be up"
        )

    def _column(self, instance: int, name: str) -> str:
        head, *lines = self.tell("show stat").splitlines()
        place = head.removeprefix("# ").split(",").index(name)
        for line in lines:
            if line.startswith(f"instances,{instance},"):
                return line.split(",")[place]
        raise CommandError(f"haproxy knows no instance {instance}")


def _measure(folder: Path, rounds: int, connections: int) -> int:
    parts.program("haproxy", "haproxy")
    people = People(clients=100, sessions=100_000)
    with ExitStack() as ended:
        server = ended.enter_context(EmbeddedPostgres(folder / "postgres"))
        people.install(server.uri())
        rest = PostgREST(server.uri(user="authenticator"), SECRET, folder / "postgrest.log")
        ended.callback(rest.stop)
        rest.start()
        instances = [parts.Api(rest.url, folder / f"api-{n}.log") for n in range(_INSTANCES)]
        for one in instances:
            ended.callback(one.stop)
            one.start()
        balancer = Balancer(folder, instances)
        ended.callback(balancer.process.stop)
        tokens, requests = people.tokens(), people.requests()
        failures = {}
        print(f"{_INSTANCES} instances behind HAProxy, each restarted {rounds} times under load\n")
        for way in _WAYS:
            with Load([Target.api(balancer.url)], tokens, requests, connections) as load:
                for instance in list(range(_INSTANCES)) * rounds:
                    _restart(way, balancer, instance, instances[instance])
            failures[way] = sum(not one.acknowledged for one in load.history)
            middle, slow = latency(load.history)
            wrong = check(server.uri(), load.history)
            print(
                f"  {way:13} {failures[way]:>4} failed of {len(load.history)}; p50 {middle:.0f} ms,"
                f" p99 {slow:.0f} ms; {kinds_of_answers(load.history)};"
                f" lost or taken twice: {len(wrong)}"
            )
            if wrong:
                return 1
    return 1 if failures["drained"] else 0


def _restart(way: str, balancer: Balancer, number: int, instance: parts.Api) -> None:
    """Replace an instance by a new one at its address."""
    if way == "drained":
        balancer.drain(number)
    instance.stop(signal.SIGKILL if way == "killed" else signal.SIGTERM)
    instance.start()
    balancer.let_in(number)
    time.sleep(0.5)
