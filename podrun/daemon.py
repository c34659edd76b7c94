"""podrund: builds every room and wires them; the only place that does.

    spawner client -> runtime ┐
    images, volumes ──────────┼-> supervisor ┐
    store ────────────────────┴-> scheduler ─┼-> API server on sockets that the spawner holds
                                 node ───────┘

It may be killed at any instant: the spawner keeps pods and sockets, the store and the runtime's records say what was
meant, and the next podrund adopts both. So an end is never more than letting go, in reverse order of the beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import podrun
from podrun.api import schema
from podrun.apiserver import kubeconfig, pki
from podrun.apiserver.server import ApiServer
from podrun.apiserver.sessions import Sessions
from podrun.apiserver.streams.pods import PodAccess
from podrun.apiserver.tokens import Bound, TokenSigner
from podrun.cgroups import hierarchy, scope
from podrun.cgroups.bpf import DevicePrograms
from podrun.cgroups.tree import PodGroups
from podrun.controllers.cluster_roles import RoleAggregation
from podrun.controllers.cluster_services import ClusterServices, api_service, dns_service
from podrun.controllers.endpoints import EndpointsController
from podrun.controllers.gc import GarbageCollector
from podrun.controllers.namespaces import NamespaceController
from podrun.controllers.scheduling import Scheduler
from podrun.controllers.service_names import StoreView
from podrun.controllers.service_network import ServiceNetwork
from podrun.controllers.slices import SliceIndex
from podrun.controllers.tainting import TaintController
from podrun.images.store import ImageStore
from podrun.kernel import heap
from podrun.kernel.processes import set_name
from podrun.layout import Layout
from podrun.network import dns_server
from podrun.network.dns_upstream import HostServers
from podrun.network.dns_zone import Zone
from podrun.network.pods import API_ADDRESS, OWN_ADDRESSES, POD_RANGE, PodNetwork
from podrun.network.rules import DNS_ADDRESS
from podrun.network.services import SERVICE_RANGE, ServiceRules
from podrun.openbox.box import OpenBox
from podrun.openbox.routes import routes
from podrun.runtime import apparmor
from podrun.runtime.records import UnreadableRecord
from podrun.runtime.runtime import Runtime
from podrun.sdnotify import is_under_systemd, notify
from podrun.settings import Settings
from podrun.spawner.client import SpawnerClient, SpawnerError
from podrun.spawner.protocol import VERSION as PROTOCOL
from podrun.spawner.start import SpawnerLost
from podrun.store.journal import UnreadableDatabase
from podrun.store.store import Store
from podrun.supervisor.clockwatch import ClockWatch
from podrun.supervisor.image_collection import ImageCollection
from podrun.supervisor.lookup import Lookup
from podrun.supervisor.machine import Machine, resolver
from podrun.supervisor.memory import Memory
from podrun.supervisor.node import NodeStatus
from podrun.supervisor.options import Options
from podrun.supervisor.pressure import PressureWatch
from podrun.supervisor.pull_memory import PullMemory
from podrun.supervisor.pulls import Pulls
from podrun.supervisor.recorder import Recorder
from podrun.supervisor.services import Services
from podrun.supervisor.shortage import observations
from podrun.supervisor.supervisor import Supervisor
from podrun.supervisor.user_ranges import UserRanges
from podrun.ui.site import Site
from podrun.volumes.volumes import Volumes

log = logging.getLogger("podrun")

EXIT_RUNNING_ALREADY = 3
SUCCESSOR = "PODRUN_SUCCESSOR"
"""Set in the environment of a podrund that the spawner has started in place of one that died."""
RENEWAL_PAUSE, RENEWAL_LOOK = 60.0, 86400.0
"""Seconds until certificates are looked at again: at least, and at most."""
RETRY_SECONDS = 1.0
DNS_SOCKETS = "dns"
"""The name under which the spawner holds them."""


def main(settings: Settings, layout: Layout, argv: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT. `argv` starts this program again, for the spawner that does so."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    set_name("podrund")
    heap.return_large()
    os.umask(0o022)
    _raise_descriptor_limit()
    _spare_in_need()
    layout.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (layout.run / "podrund.pid").open("a+") as claim:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.seek(0)
            print(f"podrun: a daemon runs here already (process {claim.read().strip()})", file=sys.stderr)
            return EXIT_RUNNING_ALREADY
        claim.truncate(0)
        claim.write(f"{os.getpid()}\n")
        claim.flush()
        try:
            asyncio.run(_Daemon(settings, layout, argv).run())
        except (OSError, CannotStart, UnreadableDatabase, UnreadableRecord) as error:
            log.error("podrun cannot start: %s", error)
        except Exception:
            log.exception("podrun has failed")
        else:
            return 0
        if SUCCESSOR in os.environ:
            time.sleep(RETRY_SECONDS)  # whoever starts the next one does so at once
        return 1


class CannotStart(Exception):
    """Something that only the administrator can put right; the text says what."""


class _Daemon:
    def __init__(self, settings: Settings, layout: Layout, argv: Sequence[str]) -> None:
        self.settings = settings
        self.layout = layout
        self.argv = argv
        self.listeners: dict[str, socket.socket] = {}
        self.name_sockets: list[socket.socket] = []
        """Of cluster DNS: UDP and TCP."""
        self.spawner: SpawnerClient

    async def run(self) -> None:
        """Begin everything, serve until told to stop, let go of everything."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            try:
                runtime = await self._begin(stack)
            except BaseException:
                await self._withdraw()
                raise
            await self._supervise()
            gc.collect()
            gc.freeze()
            gc.enable()  # see podrun.cli.daemon
            heap.trim()
            log.info("serving at %s after %.0f ms", self.settings.server_url, (time.monotonic() - began) * 1000)
            notify("READY=1")
            await self._until(stopping, runtime.broken)
            notify("STOPPING=1")
            await self.spawner.supervise((), {}, Path("/"), None)
        log.info("stopped; pods go on")

    async def _until(self, stopping: asyncio.Event, broken: asyncio.Future[None]) -> None:
        """Returns when it is time to stop; raises where a lost spawner could not be replaced."""
        told = asyncio.ensure_future(stopping.wait())
        await asyncio.wait((told, broken), return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            return
        told.cancel()
        await broken

    async def _begin(self, stack: AsyncExitStack) -> Runtime:
        """Build and start every room; `stack` ends them in reverse order."""
        settings, layout = self.settings, self.layout
        for directory in (layout.state, layout.logs, layout.etc):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        certificates = self._certificates()
        # First: what cannot read the database must not take over the spawner.
        store = Store(layout.database)
        stack.push_async_callback(store.close)
        await self._connect(None)
        schema.use(schema.load(layout.schema_cache))
        slices = SliceIndex(store)
        await self._start_controllers(store, slices, certificates, stack)

        machine = Machine.look(layout.state)
        recorder = Recorder(store, settings.node, time_scale=settings.time_scale)
        images = ImageStore(
            layout.images, mirrors=settings.registry_mirrors, docker_config=Path("~/.docker/config.json").expanduser()
        )
        runtime = await self._runtime(stack)
        await self._hold_name_sockets()
        options = self._options(machine)

        def container_id(namespace: str, pod: str, container: str, previous: bool) -> str | None:
            return supervisor.container_id(namespace, pod, container, previous=previous)

        sessions = Sessions(certificates.service_account_key.read_bytes())
        site = Site(store, runtime, sessions, settings.server_url)
        server = ApiServer(
            store,
            pki=certificates,
            pods=PodAccess(runtime, container_id, layout.logs),
            routes=(*site.routes, *routes(lambda: box)),
            pages=site.pages,
            sessions=sessions,
            address=settings.listen,
        )
        collection = ImageCollection(images, runtime, layout.images, lambda: supervisor.pods_here(), time.time)
        supervisor = Supervisor(
            Services(
                store=store,
                runtime=runtime,
                pulls=Pulls(
                    images,
                    store,
                    recorder,
                    options,
                    memory=PullMemory(options.state / "image-pulls", layout.state / "pulled-with-secrets.json"),
                ),
                volumes=Volumes(layout.pods),
                lookup=Lookup(store, images, _Tokens(store, server.signer, settings.node).issue, machine.allocatable),
                recorder=recorder,
                memory=Memory(options.state),
                options=options,
                termination_message=runtime.termination_message,
                user_ranges=UserRanges(layout.pods),
            ),
            collection.consider,
        )
        box = OpenBox(store, supervisor, runtime, layout.timelines)
        node = NodeStatus(store, recorder, settings.node, machine, images.list, podrun.__version__, time.time)
        await node.start()
        stack.push_async_callback(node.stop)
        await supervisor.start()
        watch = ClockWatch(supervisor.clock_was_set)
        watch.start()
        stack.callback(watch.stop)
        stack.push_async_callback(collection.stop)
        stack.push_async_callback(supervisor.stop)
        stack.push_async_callback(box.stop)
        await self._relieve(supervisor, node, collection, stack)
        service_rules = ServiceRules(OWN_ADDRESSES, layout.run / "services.json")
        service_network = ServiceNetwork(store, slices, service_rules, settings.node, map(str, OWN_ADDRESSES))
        await service_network.start()
        stack.push_async_callback(service_network.stop)
        scheduler = Scheduler(store, recorder, settings.node, bound=supervisor.meet)
        scheduler.start()
        stack.push_async_callback(scheduler.stop)
        taints = TaintController(store, recorder, settings.node)
        taints.start()
        stack.push_async_callback(taints.stop)

        await self._serve(server, stack)
        await self._serve_names(StoreView(store, slices), stack)
        self._renew_later(certificates, server)
        return runtime

    async def _relieve(
        self, supervisor: Supervisor, node: NodeStatus, collection: ImageCollection, stack: AsyncExitStack
    ) -> None:
        """End pods before memory or disk runs out."""
        layout = self.layout
        watch = PressureWatch(
            supervisor.services,
            supervisor.workers,
            self.settings.eviction_thresholds(),
            lambda: observations(layout.state, layout.images),
            collection.remove_unused,
            node.short_of,
            node.tell,
        )
        watch.start()
        stack.push_async_callback(watch.stop)
        supervisor.short_of, supervisor.ended, node.on_tick = watch.rejection, watch.ended, watch.tick

    async def _start_controllers(
        self, store: Store, slices: SliceIndex, certificates: pki.Pki, stack: AsyncExitStack
    ) -> None:
        """What a cluster's controller manager does for one node."""
        own = (api_service(str(API_ADDRESS), self.settings.port), dns_service(str(DNS_ADDRESS)))
        for controller in (
            NamespaceController(store, certificates.ca_certificate.read_text()),
            GarbageCollector(store),
            ClusterServices(store, own),
            EndpointsController(store, slices),
            RoleAggregation(store),
        ):
            await controller.start()
            stack.push_async_callback(controller.stop)

    def _options(self, machine: Machine) -> Options:
        """How the supervisor is to behave, from the settings and the machine."""
        settings, layout = self.settings, self.layout
        return Options(
            node_name=settings.node,
            log_root=layout.logs,
            state=layout.run / "supervisor",
            node_addresses=machine.addresses,
            memory_capacity=machine.memory,
            allocatable=machine.allocatable,
            cluster_dns=(str(DNS_ADDRESS),) if self.name_sockets else (),
            resolver=resolver(),
            seccomp_default=settings.seccomp_default,
            app_armor=machine.app_armor,
            app_armor_default=apparmor.load_default() if machine.app_armor else "",
            user_namespaces=machine.user_namespaces,
            seccomp_profiles=layout.state / "seccomp",
            debug_sees_volumes=settings.debug_mounts,
            time_scale=settings.time_scale,
        )

    def _certificates(self) -> pki.Pki:
        """The PKI, and the kubeconfig that holds its administrator."""
        names = [socket.gethostname(), self.settings.host, *self.settings.certificate_names]
        made = pki.ensure(self.layout.pki, [name for name in names if name not in ("0.0.0.0", "::")], pki.utc_now())
        wanted = kubeconfig.for_admin(made, self.settings.server_url)
        with contextlib.suppress(ValueError):
            if kubeconfig.read(self.layout.kubeconfig) == wanted:
                return made
        kubeconfig.write(self.layout.kubeconfig, wanted)
        return made

    def _renew_later(self, certificates: pki.Pki, server: ApiServer) -> None:
        """Look again when the first certificate is due, and each day: a clock may jump, a machine sleep for months."""

        def renew() -> None:
            try:
                renewed = self._certificates()
                server.reload_certificates()
            except OSError as error:
                log.error("the certificates cannot be renewed now: %s", error)
                renewed = certificates
            self._renew_later(renewed, server)

        delay = min(max(certificates.renew_at - time.time(), RENEWAL_PAUSE), RENEWAL_LOOK)
        asyncio.get_running_loop().call_later(delay, renew)

    async def _connect(self, former: SpawnerClient | None) -> SpawnerClient:
        """The spawner, with everything deposited there that the next podrund needs."""
        if former is None and hasattr(self, "spawner"):
            return self.spawner
        layout = self.layout
        if former is not None:
            former = self.spawner  # which may be one that was lost before the runtime had it
        self.spawner = await SpawnerClient.start(layout.spawner_run, visible=[layout.state, layout.run], former=former)
        if former is None:
            await self._update_spawner()
        if former is not None or SUCCESSOR in os.environ:
            await self._supervise()
        for name, sock in self.listeners.items():
            await self.spawner.deposit(name, sock, self._addresses()[name])
        if self.name_sockets:
            await self.spawner.keep(DNS_SOCKETS, self.name_sockets, str(DNS_ADDRESS))
        return self.spawner

    async def _update_spawner(self) -> None:
        """After an upgrade: the spawner that runs takes up this code, pods and all.

        Where this code cannot read that one's state, nothing is touched: pods go on, for a podrun that can.
        """
        try:
            await self.spawner.update()
        except SpawnerError as error:
            if self.spawner.welcome.version != PROTOCOL:
                raise CannotStart(
                    f"another version of podrun ({self.spawner.welcome.code}) runs pods here, and this one cannot take"
                    f" them over: {error}; start that version again, or end the pods with it first"
                ) from error
            log.warning("the spawner goes on with the code of podrun %s: %s", self.spawner.welcome.code, error)

    async def _supervise(self) -> None:
        """Have the spawner start this program again when it dies, where systemd does not do so.

        A first start asks for it when it serves: what fails before is told to the person who started it.
        """
        if is_under_systemd():
            return
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        environment[SUCCESSOR] = "1"
        await self.spawner.supervise((sys.executable, *self.argv), environment, Path("/"), self._output())

    async def _withdraw(self) -> None:
        """After a first start that failed: end the spawner if it runs nothing, so that nobody waits for an answer."""
        if SUCCESSOR in os.environ or not hasattr(self, "spawner"):
            return
        with contextlib.suppress(SpawnerError, SpawnerLost):
            await self.spawner.leave()

    def _addresses(self) -> dict[str, tuple[str, int] | Path]:
        """Where the API listens, by the name under which the spawner holds the socket."""
        return {
            "api": (self.settings.host, self.settings.port),
            "pods": (str(API_ADDRESS), self.settings.port),
            "unix": self.layout.api_socket,
        }

    def _output(self) -> Path | None:
        """The file that this process writes to, where it is one: its successor goes on there."""
        target = os.readlink("/proc/self/fd/2")
        return Path(target) if target.startswith("/") and os.path.isfile(target) else None

    async def _runtime(self, stack: AsyncExitStack) -> Runtime:
        layout = self.layout
        machine = hierarchy.detect()
        name = layout.name
        if scope.wanted(machine):
            name = f"{await scope.ensure(machine)}/{name}"
        runtime = Runtime(
            run=layout.run / "runtime",
            state=layout.containers,
            connect=self._connect,
            groups=PodGroups(machine, name),
            network=PodNetwork(layout.state / "network", api_port=self.settings.port),
            attach_devices=DevicePrograms(),
        )
        stack.push_async_callback(runtime.close)
        return runtime

    async def _serve(self, server: ApiServer, stack: AsyncExitStack) -> None:
        """Take connections: from the host, from pods (the address that the network has made), over the unix socket."""
        for name, address in self._addresses().items():
            try:
                self.listeners[name] = await self.spawner.listener(name, address)
            except OSError as error:
                where = ":".join(map(str, address)) if isinstance(address, tuple) else address
                raise CannotStart(f"the API cannot listen at {where}: {error.strerror}") from error
        listeners = self.listeners
        await server.start(listeners["api"], listeners["unix"], pods_socket=listeners["pods"])
        server.ready = True
        stack.push_async_callback(server.stop)

    async def _hold_name_sockets(self) -> None:
        """Of cluster DNS, where they can be had: a name server that takes port 53 of every address leaves no room, and
        pods are then given the host's own servers."""
        address = str(DNS_ADDRESS)
        _, held = await self.spawner.fetch(DNS_SOCKETS)
        if not held:
            try:
                held = list(dns_server.sockets(address))
            except OSError as error:
                log.error("pods have no cluster DNS: port 53 of %s cannot be had: %s", address, error.strerror)
                return
            await self.spawner.keep(DNS_SOCKETS, held, address)
        self.name_sockets = held

    async def _serve_names(self, view: StoreView, stack: AsyncExitStack) -> None:
        """Cluster DNS, on the sockets that are held."""
        if self.name_sockets:
            zone = Zone(view, (POD_RANGE, SERVICE_RANGE), str(DNS_ADDRESS))
            server = dns_server.DnsServer(zone, HostServers(str(DNS_ADDRESS)))
            await server.start(*self.name_sockets)
            stack.push_async_callback(server.stop)


class _Tokens:
    """ServiceAccount tokens for volumes: bound to the pod, and to this node."""

    def __init__(self, store: Store, signer: TokenSigner, node: str) -> None:
        self._store, self._signer, self._node = store, signer, node

    def issue(self, namespace: str, account: str, audience: str, seconds: int, pod: tuple[str, str]) -> str:
        found = self._store.get("serviceaccounts", namespace, account)
        if found is None:
            raise LookupError(f'serviceaccounts "{account}" not found')
        node = self._store.get("nodes", "", self._node)
        return self._signer.issue(
            found,
            [audience] if audience else [],
            seconds,
            bound=Bound("Pod", *pod),
            node=Bound("Node", self._node, node["metadata"]["uid"]) if node is not None else None,
        )


def _spare_in_need() -> None:
    """When memory runs out the kernel takes pods' processes first: this one and its children are as a kubelet's are.
    (Each process of a pod is given a score of its own.)"""
    with contextlib.suppress(OSError):  # where that is not allowed
        Path("/proc/self/oom_score_adj").write_text("-999")


def _raise_descriptor_limit() -> None:
    """A hundred pods have pidfds, logs and watches; the kernel's soft limit of 1024 is for programs with select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
