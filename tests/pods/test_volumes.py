"""Every kind of volume, as the program in the container sees it."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Podrun, wait_until
from tests.pods.living import FOREVER, Object, Pods, pod, shell, state


def config(name: str = "settings", kind: str = "ConfigMap", **data: str) -> Object:
    key = "data" if kind == "ConfigMap" else "stringData"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, key: data}


def with_volume(name: str, source: Object, script: str = FOREVER, **mount: object) -> Object:
    """A pod whose container `a` has one volume at /v."""
    mounts = [{"name": "v", "mountPath": "/v", **mount}]
    return pod(name, shell("a", script, volumeMounts=mounts), volumes=[{"name": "v", **source}])


@pytest.fixture(autouse=True)
def _no_objects(podrun: Podrun) -> None:
    podrun.kubectl("delete", "cm,secret", "settings", "key", "--ignore-not-found")


def change(pods: Pods, plural: str, name: str, **data: str) -> None:
    body = {"data" if plural == "configmaps" else "stringData": data}
    pods.call("PATCH", pods.path(plural, name), body, "application/merge-patch+json")


class TestEmptyDir:
    def test_is_shared_by_the_containers_and_outlives_their_crashes(self, pods: Pods) -> None:
        mount: Object = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        pods.run(pod("p", shell("a", **mount), shell("b", **mount), volumes=[{"name": "v", "emptyDir": {}}]))
        pods.sh("p", "echo kept > /v/file", "a")
        pods.exec("p", "sh", "-c", "kill -9 -1; kill -TERM 1", container="a")
        pods.until("p", lambda now: now["status"]["containerStatuses"][0]["restartCount"] == 1)
        assert pods.sh("p", "cat /v/file", "b") == "kept\n"

    def test_is_gone_with_the_pod(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(with_volume("p", {"emptyDir": {}}, f"echo x > /v/mark; {FOREVER}"))
        uid = pods.get("p")["metadata"]["uid"]
        directory = podrun.layout.pods / uid
        assert list(directory.rglob("mark"))
        pods.delete("p")
        wait_until(lambda: not directory.exists(), 5, f"{directory} is left")

    def test_in_memory_is_as_large_as_its_limit(self, pods: Pods) -> None:
        pods.run(with_volume("p", {"emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}))
        assert pods.sh("p", "df -k /v | tail -1 | awk '{print $1, $2}'") == "tmpfs 8192\n"
        assert pods.exec("p", "sh", "-c", "head -c 9000000 /dev/zero > /v/big").returncode == 1
        assert pods.sh("p", "stat -c %s /v/big") == f"{8 << 20}\n"

    @pytest.mark.slow
    def test_over_its_limit_on_disk_ends_the_pod(self, pods: Pods) -> None:
        pods.create(
            with_volume("p", {"emptyDir": {"sizeLimit": "1Mi"}}, f"head -c 3000000 /dev/zero > /v/big; {FOREVER}")
        )
        now = pods.finished("p", 25)
        assert now["status"]["reason"] == "Evicted"
        assert now["status"]["message"] == 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '

    def test_belongs_to_the_fs_group(self, pods: Pods) -> None:
        pods.run(with_volume("p", {"emptyDir": {}}))
        pods.create(
            pod(
                "grouped",
                shell("a", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
                volumes=[{"name": "v", "emptyDir": {}}],
                securityContext={"runAsUser": 1000, "fsGroup": 2000},
            )
        )
        pods.ready("grouped")
        assert pods.sh("p", "stat -c '%a %g' /v") == "777 0\n"
        assert pods.sh("grouped", "stat -c '%a %g' /v; touch /v/x; stat -c '%u %g' /v/x") == "2777 2000\n1000 2000\n"


class TestHostPath:
    def test_is_the_hosts_directory(self, pods: Pods, podrun: Podrun) -> None:
        place = podrun.root / "shared"
        pods.run(with_volume("p", {"hostPath": {"path": str(place), "type": "DirectoryOrCreate"}}))
        pods.sh("p", "echo up > /v/x")
        assert (place / "x").read_text() == "up\n"
        assert stat.S_IMODE(place.stat().st_mode) == 0o755

    @pytest.mark.parametrize(
        ("kind", "make"),
        [
            ("File", lambda path: path.write_text("")),
            ("FileOrCreate", lambda path: None),
            ("Directory", lambda path: path.mkdir()),
            ("CharDevice", lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))),
            ("", lambda path: path.mkdir()),
        ],
    )
    def test_of_the_type_it_says(self, pods: Pods, podrun: Podrun, kind: str, make: Callable[[Path], None]) -> None:
        place = podrun.root / f"of-type-{kind}"
        make(place)
        pods.run(with_volume("p", {"hostPath": {"path": str(place), "type": kind}}))
        assert pods.sh("p", "test -e /v && echo there") == "there\n"

    @pytest.mark.parametrize(
        ("kind", "said"),
        [
            ("Directory", "is not a directory"),
            ("File", "is not a file"),
            ("Socket", "is not a socket"),
            ("CharDevice", "is not a character device"),
            ("BlockDevice", "is not a block device"),
        ],
    )
    def test_that_is_something_else_is_an_event(self, pods: Pods, podrun: Podrun, kind: str, said: str) -> None:
        name = f"wrong-{kind.lower()}"
        pods.create(with_volume(name, {"hostPath": {"path": str(podrun.root / "missing"), "type": kind}}))
        message = pods.event(name, "FailedMount")
        assert (
            f'MountVolume.SetUp failed for volume "v" : hostPath type check failed: {podrun.root}/missing {said}'
            in message
        )
        assert state(pods.get(name))["reason"] == "ContainerCreating"

    def test_starts_once_it_is_there(self, pods: Pods, podrun: Podrun) -> None:
        place = podrun.root / "late"
        pods.create(with_volume("p", {"hostPath": {"path": str(place), "type": "Directory"}}))
        pods.event("p", "FailedMount")
        place.mkdir()
        pods.ready("p")

    def test_read_only(self, pods: Pods, podrun: Podrun) -> None:
        place = podrun.root / "still"
        place.mkdir()
        pods.run(with_volume("p", {"hostPath": {"path": str(place)}}, readOnly=True))
        assert "Read-only file system" in pods.exec("p", "touch", "/v/x").stderr


class TestConfigMap:
    def test_its_files_and_their_modes(self, pods: Pods) -> None:
        pods.create(config(a="1", b="2"))
        items = [{"key": "a", "path": "deep/a.txt", "mode": 0o400}]
        pods.run(with_volume("p", {"configMap": {"name": "settings", "items": items}}))
        assert (
            pods.sh("p", "cd /v; find . -type f ! -path '*/..*' -o -type l ! -name '..*' | sort; cat deep/a.txt")
            == "./deep\n1"
        )
        assert pods.sh("p", "stat -Lc %a /v/deep/a.txt") == "400\n"

    def test_changes_are_seen_within_a_second_and_all_at_once(self, pods: Pods) -> None:
        pods.create(config(a="1", b="1"))
        script = "while :; do set -- $(cat /v/..data/a /v/..data/b); echo $*; done"
        pods.run(with_volume("p", {"configMap": {"name": "settings"}}, f"trap 'exit 0' TERM; {script}"))
        change(pods, "configmaps", "settings", a="2", b="2")
        wait_until(lambda: pods.sh("p", "cat /v/a /v/b") == "22", 1, "the change does not come")

    def test_a_new_key_appears_and_an_old_one_goes(self, pods: Pods) -> None:
        pods.create(config(a="1"))
        pods.run(with_volume("p", {"configMap": {"name": "settings"}}))
        pods.call(
            "PATCH",
            pods.path("configmaps", "settings"),
            {"data": {"a": None, "c": "3"}},
            "application/merge-patch+json",
        )
        wait_until(lambda: pods.sh("p", "ls /v") == "c\n", 1, "the change does not come")

    def test_a_missing_one_is_an_event_until_it_comes(self, pods: Pods) -> None:
        pods.create(with_volume("waits", {"configMap": {"name": "settings"}}))
        assert pods.event("waits", "FailedMount") == (
            'MountVolume.SetUp failed for volume "v" : configmap "settings" not found'
        )
        pods.create(config(a="1"))
        pods.ready("waits")
        assert pods.sh("waits", "cat /v/a") == "1"

    def test_an_optional_one_may_be_missing(self, pods: Pods) -> None:
        pods.run(with_volume("p", {"configMap": {"name": "settings", "optional": True}}))
        assert pods.sh("p", "ls /v") == ""

    def test_a_sub_path_stays_as_it_was(self, pods: Pods) -> None:
        pods.create(config(a="1"))
        pods.run(with_volume("p", {"configMap": {"name": "settings"}}, subPath="a"))
        change(pods, "configmaps", "settings", a="2")
        assert pods.sh("p", "cat /v") == "1"

    def test_cannot_be_written(self, pods: Pods) -> None:
        pods.create(config(a="1"))
        pods.run(with_volume("p", {"configMap": {"name": "settings"}}))
        assert "Read-only file system" in pods.exec("p", "touch", "/v/x").stderr


class TestSecret:
    def test_is_in_memory_only(self, pods: Pods) -> None:
        pods.create(config("key", "Secret", password="open sesame"))
        pods.run(with_volume("p", {"secret": {"secretName": "key", "defaultMode": 0o440}}))
        assert pods.sh("p", "cat /v/password") == "open sesame"
        assert pods.sh("p", "stat -Lc %a /v/password; stat -fc %T /v") == "440\ntmpfs\n"

    def test_is_not_on_disk(self, pods: Pods, podrun: Podrun) -> None:
        pods.create(config("key", "Secret", password="open sesame"))
        pods.run(with_volume("p", {"secret": {"secretName": "key"}}))
        found = [path for path in podrun.layout.pods.rglob("password") if path.is_file()]
        assert found == []  # the tmpfs is mounted in the daemon's namespace only


class TestProjected:
    def test_joins_its_sources(self, pods: Pods) -> None:
        pods.create(config(a="1"), config("key", "Secret", b="2"))
        sources = [
            {"configMap": {"name": "settings"}},
            {"secret": {"name": "key", "items": [{"key": "b", "path": "hidden/b"}]}},
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
        ]
        pods.run(with_volume("p", {"projected": {"sources": sources}}))
        assert pods.sh("p", "cat /v/a /v/hidden/b /v/name") == "12p"
        payload = pods.sh("p", "cut -d. -f2 /v/token").strip()
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        assert claims["aud"] == ["vault"]
        assert claims["sub"] == "system:serviceaccount:default:default"
        assert 590 <= claims["exp"] - claims["iat"] <= 610


class TestDownwardAPI:
    def test_follows_the_labels(self, pods: Pods) -> None:
        items = [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {
                "path": "limit",
                "resourceFieldRef": {"containerName": "a", "resource": "limits.memory", "divisor": "1Mi"},
            },
        ]
        obj = with_volume("p", {"downwardAPI": {"items": items}})
        obj["metadata"]["labels"] = {"stage": "one"}
        obj["spec"]["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}
        pods.run(obj)
        assert pods.sh("p", "cat /v/labels; echo; cat /v/limit") == 'stage="one"\n64'
        pods.podrun.kubectl("label", "pod", "p", "stage=two", "--overwrite")
        wait_until(lambda: pods.sh("p", "cat /v/labels") == 'stage="two"', 1, "the change does not come")


class TestSubPath:
    def test_of_an_empty_dir_is_made(self, pods: Pods) -> None:
        pods.run(with_volume("p", {"emptyDir": {}}, subPath="deep/er"))
        pods.sh("p", "touch /v/x")

    def test_that_is_made_belongs_to_the_volumes_group_with_all_of_its_mode(self, pods: Pods) -> None:
        obj = with_volume("p", {"emptyDir": {"medium": "Memory"}}, subPath="sub")
        obj["spec"]["securityContext"] = {"fsGroup": 123}
        pods.run(obj)
        assert pods.sh("p", "stat -c '%A %g' /v") == "drwxrwsrwt 123\n"

    def test_takes_variables(self, pods: Pods, podrun: Podrun) -> None:
        place = podrun.root / "logs"
        place.mkdir()
        obj = with_volume("p", {"hostPath": {"path": str(place)}}, subPathExpr="$(NAME)")
        obj["spec"]["containers"][0]["env"] = [
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        ]
        pods.run(obj)
        pods.sh("p", "touch /v/x")
        assert (place / "p/x").exists()

    def test_cannot_leave_the_volume_by_a_link(self, pods: Pods, podrun: Podrun) -> None:
        place = podrun.root / "trap"
        place.mkdir()
        (place / "out").symlink_to(podrun.root)
        pods.create(with_volume("escapes", {"hostPath": {"path": str(place)}}, subPath="out"))
        pods.until("escapes", lambda now: state(now).get("reason") == "CreateContainerConfigError")


def test_a_mount_in_a_directory_of_the_image_hides_only_that(pods: Pods) -> None:
    mounts = [{"name": "v", "mountPath": "/etc/app"}]
    pods.run(pod("p", shell("a", volumeMounts=mounts), volumes=[{"name": "v", "emptyDir": {}}]))
    assert pods.sh("p", "ls /etc/app; test -s /etc/passwd && echo there") == "there\n"


def test_a_mount_path_that_is_a_link_in_the_image_stays_in_the_container(pods: Pods) -> None:
    mounts = [{"name": "v", "mountPath": "/lib64/data"}]  # /lib64 is a link to lib in the image
    pods.run(pod("p", shell("a", volumeMounts=mounts), volumes=[{"name": "v", "emptyDir": {}}]))
    assert pods.sh("p", "touch /lib64/data/x; ls /lib/data") == "x\n"
    assert not os.path.exists("/lib/data")
    assert not os.path.exists("/lib64/data")
