"""The open box of one podrun: what is asked of it, answered from the store, the workers and the marks.

It keeps the timelines of pods that have ended, and of those that live when podrund stops.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from podrun.api.errors import conflict, not_found
from podrun.api.pod import Pod
from podrun.cgroups import hierarchy
from podrun.openbox import explanation
from podrun.openbox.archive import Archive, joined
from podrun.openbox.knobs import Knobs
from podrun.openbox.script.plan import plan_of
from podrun.openbox.script.pod import script
from podrun.openbox.script.steps import Untranslatable
from podrun.openbox.steps import name_in, timeline_of
from podrun.runtime.runtime import Runtime
from podrun.store.store import Store
from podrun.supervisor.supervisor import Supervisor
from podrun.timeline import marks

Object = dict[str, Any]


class OpenBox:
    """One per daemon. `directory` holds the timelines that are kept."""

    def __init__(self, store: Store, supervisor: Supervisor, runtime: Runtime, directory: Path) -> None:
        self._store, self._supervisor, self._runtime = store, supervisor, runtime
        self._archive = Archive(directory)
        self._tasks: set[asyncio.Task[None]] = set()
        supervisor.gone = self._keep

    def _keep(self, pod: Pod) -> None:
        found = marks.end(pod.uid)
        if found is None:
            return
        work = asyncio.to_thread(self._write, pod.uid, *pod.key, found.copy())
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Keep what is known of the pods that live."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for obj in self._store.list("pods"):
            metadata = obj["metadata"]
            found = marks.of(metadata["uid"])
            if found is not None:
                self._write(metadata["uid"], metadata["namespace"], metadata["name"], found)

    def _write(self, uid: str, namespace: str, name: str, found: marks.Marks) -> None:
        decided = [*self._earlier(uid, namespace, name)["decisions"], *explanation.decisions(found)]
        self._archive.write(self._timeline(uid, namespace, name, found), decided)

    def _earlier(self, uid: str, namespace: str, name: str) -> Object:
        """What the podrund before this one kept of the pod."""
        return self._archive.find(namespace, name, uid) or {"timeline": None, "decisions": []}

    def _timeline(self, uid: str, namespace: str, name: str, found: marks.Marks) -> Object:
        now = timeline_of(uid, namespace, name, found)
        before = self._earlier(uid, namespace, name)["timeline"] if now["adopted"] else None
        return joined(before, now) if before is not None else now

    # Looking

    def object(self, namespace: str, name: str) -> Object:
        """The Pod object. Raises NotFound."""
        found = self._store.get("pods", namespace, name)
        if found is None:
            raise not_found("pods", name)
        return found

    def timelines(self) -> list[Object]:
        """The pods whose timeline can be had: those that are there, then those that have ended, latest first."""
        living = [obj["metadata"] for obj in self._store.list("pods")]
        made = [
            {"namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"], "ended": False}
            for meta in living
            if marks.of(meta["uid"]) is not None
        ]
        uids = {meta["uid"] for meta in living}
        return made + [
            {"namespace": kept["namespace"], "name": kept["name"], "uid": kept["uid"], "ended": True}
            for kept in self._archive.all()
            if kept["uid"] not in uids
        ]

    def timeline(self, namespace: str, name: str, uid: str = "") -> Object:
        """Of the pod that is there; else of the latest that had the name, or of the one with `uid`. Raises NotFound."""
        known = self._uid(namespace, name)
        if known and uid in ("", known) and (found := marks.of(known)) is not None:
            return self._timeline(known, namespace, name, found)
        kept = self._archive.find(namespace, name, uid)
        if kept is None:
            raise not_found("pods", name)
        timeline: Object = kept["timeline"]
        return timeline

    def _uid(self, namespace: str, name: str) -> str:
        """Of the pod that has the name, or had it last as far as the marks know; "" for none."""
        obj = self._store.get("pods", namespace, name)
        if obj is not None:
            return str(obj["metadata"]["uid"])
        had = [uid for uid in marks.pods() if name_in(marks.of(uid) or ()) == (namespace, name)]
        return had[-1] if had else ""

    def explanation(self, namespace: str, name: str, *, replay: bool) -> Object:
        """Raises NotFound. A pod that has ended has its decisions still."""
        obj = self._store.get("pods", namespace, name)
        if obj is None:
            return self._gone(namespace, name)
        uid = obj["metadata"]["uid"]
        found = marks.of(uid) or ()
        made = explanation.explain(obj, self._supervisor.worker(namespace, name), found)
        if replay:
            before = self._earlier(uid, namespace, name)["decisions"]
            made["decisions"] = [*before, *explanation.decisions(found)]
        return made

    def _gone(self, namespace: str, name: str) -> Object:
        uid = self._uid(namespace, name)
        kept = self._archive.find(namespace, name, uid)
        found = marks.of(uid)
        if kept is None and found is None:
            raise not_found("pods", name)
        decided = kept["decisions"] if kept is not None else explanation.decisions(found or ())
        about = {"namespace": namespace, "name": name, "uid": uid or (kept or {})["timeline"]["uid"]}
        ended = {"phase": "", "ready": False, "stage": "gone", "sentences": [f"Pod {name} is gone."]}
        return {**about, **ended, "decision": None, "decisions": decided}

    def script(self, namespace: str, name: str) -> str:
        """The pod as a shell script; to be called in a thread. Raises NotFound, and Conflict where it has no plan."""
        obj = self.object(namespace, name)
        uid = obj["metadata"]["uid"]
        sandboxes = self._runtime.sandboxes(uid)
        if not sandboxes:
            raise conflict("pods", name, "it has no sandbox, so that there is no plan of it")
        attempts, machine = self._runtime.containers(uid), hierarchy.detect()
        try:
            return script(plan_of(obj, sandboxes[-1], attempts, machine, os.uname().nodename))
        except Untranslatable as error:
            raise conflict("pods", name, str(error)) from None

    def knobs(self, namespace: str, name: str) -> Knobs:
        """Raises NotFound, and Conflict for a pod that is not on this node or has ended."""
        self.object(namespace, name)
        worker = self._supervisor.worker(namespace, name)
        if worker is None:
            raise conflict("pods", name, "nothing of it runs here")
        return Knobs(self._runtime, worker)
