"""Volumes on the real kernel: what is on disk, mounted, owned, updated and gone again."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from podrun.kernel import mounts
from podrun.volumes.model import PreparedVolume, Usage, VolumeError
from podrun.volumes.takedown import mount_points
from podrun.volumes.volumes import Volumes
from tests.volumes.conftest import Cluster, pod_of


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


async def refused(volumes: Volumes, cluster: Cluster, volume: dict[str, Any]) -> str:
    with pytest.raises(VolumeError) as caught:
        await volumes.prepare(pod_of(volume), cluster)
    return str(caught.value)


async def test_an_empty_dir_is_open_to_all_and_stays(volumes: Volumes, cluster: Cluster) -> None:
    pod = pod_of({"name": "v", "emptyDir": {}})
    path = volumes.root / "uid-1/volumes/kubernetes.io~empty-dir/v"
    assert await volumes.prepare(pod, cluster) == {"v": PreparedVolume("v", path)}
    assert mode_of(path) == 0o777
    (path / "x").write_text("kept")
    await volumes.prepare(pod, cluster)
    assert (path / "x").read_text() == "kept"


async def test_memory_is_a_tmpfs_of_exactly_its_size_limit(volumes: Volumes, cluster: Cluster) -> None:
    pod = pod_of({"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "3Mi"}})
    path = (await volumes.prepare(pod, cluster))["m"].path
    facts = os.statvfs(path)
    assert facts.f_blocks * facts.f_frsize == 3 << 20
    assert mode_of(path) == 0o1777
    with pytest.raises(OSError, match="No space left"):
        (path / "x").write_bytes(bytes(4 << 20))
    await volumes.prepare(pod, cluster)
    assert len(mount_points(volumes.root)) == 1


@pytest.mark.parametrize(
    ("containers", "size_limit", "size"),
    [
        pytest.param([{"name": "a"}], None, 1 << 30, id="the node's memory, without any limit"),
        pytest.param(
            [{"name": "a", "resources": {"limits": {"memory": "64Mi"}}}], None, 64 << 20, id="the pod's limit"
        ),
        pytest.param([{"name": "a", "resources": {"limits": {"memory": "64Mi"}}}], "8Mi", 8 << 20, id="its own limit"),
        pytest.param(
            [{"name": "a", "resources": {"limits": {"memory": "64Mi"}}}, {"name": "b"}],
            None,
            1 << 30,
            id="one container without a limit leaves the pod without one",
        ),
    ],
)
async def test_the_size_of_a_memory_volume_is_the_smallest_limit(
    volumes: Volumes, cluster: Cluster, containers: list[dict[str, Any]], size_limit: str | None, size: int
) -> None:
    source = {"medium": "Memory"} | ({"sizeLimit": size_limit} if size_limit else {})
    pod = pod_of({"name": "m", "emptyDir": source}, containers=containers)
    facts = os.statvfs((await volumes.prepare(pod, cluster))["m"].path)
    assert facts.f_blocks * facts.f_frsize == size


async def test_usage_counts_blocks_on_disk_and_pages_in_memory(volumes: Volumes, cluster: Cluster) -> None:
    pod = pod_of(
        {"name": "d", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}},
    )
    prepared = await volumes.prepare(pod, cluster)
    before = {one.volume: one.used for one in volumes.usage(pod)}
    for volume in prepared.values():
        (volume.path / "below").mkdir()
        (volume.path / "below/x").write_bytes(bytes(512 << 10))
        os.link(volume.path / "below/x", volume.path / "same")
        os.symlink("/", volume.path / "out")
        os.sync()
    after = volumes.usage(pod)
    grown = {one.volume: (one.used - before[one.volume]) >> 10 for one in after}
    assert 512 <= grown["d"] <= 540
    assert grown["m"] == 512
    assert [(one.limit, one.memory) for one in after] == [(1 << 20, False), (2 << 20, True)]
    assert isinstance(after[0], Usage)


async def test_config_and_secret_are_files_and_secrets_are_in_memory(volumes: Volumes, cluster: Cluster) -> None:
    cluster.put("configmaps", "c", data={"k": "1"})
    cluster.put("secrets", "s", data={"p": "eA=="})
    pod = pod_of({"name": "c", "configMap": {"name": "c"}}, {"name": "s", "secret": {"secretName": "s"}})
    prepared = await volumes.prepare(pod, cluster)
    assert prepared["c"] == PreparedVolume("c", volumes.root / "uid-1/volumes/kubernetes.io~configmap/c", True)
    assert (prepared["c"].path / "k").read_text() == "1"
    assert (prepared["s"].path / "p").read_text() == "x"
    assert mount_points(volumes.root) == [str(prepared["s"].path)]


async def test_a_change_is_there_when_refresh_returns(volumes: Volumes, cluster: Cluster) -> None:
    cluster.put("configmaps", "c", data={"k": "1", "gone": "x"})
    pod = pod_of({"name": "c", "configMap": {"name": "c"}}, {"name": "e", "emptyDir": {}})
    path = (await volumes.prepare(pod, cluster))["c"].path
    assert await volumes.refresh(pod, cluster) == frozenset()
    cluster.put("configmaps", "c", data={"k": "2", "new": "y"})
    assert await volumes.refresh(pod, cluster) == {"c"}
    assert {name: (path / name).read_text() for name in os.listdir(path) if name[0] != "."} == {"k": "2", "new": "y"}


async def test_each_volume_that_cannot_be_had_is_told_of(volumes: Volumes, cluster: Cluster) -> None:
    missing = {"name": "c", "configMap": {"name": "x"}}, {"name": "s", "secret": {"secretName": "y"}}
    with pytest.raises(VolumeError) as caught:
        await volumes.prepare(pod_of(*missing, {"name": "e", "emptyDir": {}}), cluster)
    assert [one.message for one in (caught.value, *caught.value.others)] == [
        'MountVolume.SetUp failed for volume "c" : configmap "x" not found',
        'MountVolume.SetUp failed for volume "s" : secret "y" not found',
    ]


async def test_a_map_that_has_gone_keeps_its_files_and_holds_up_nothing(volumes: Volumes, cluster: Cluster) -> None:
    cluster.put("configmaps", "c", data={"k": "1"})
    cluster.put("configmaps", "d", data={"k": "1"})
    pod = pod_of({"name": "c", "configMap": {"name": "c"}}, {"name": "d", "configMap": {"name": "d"}})
    prepared = await volumes.prepare(pod, cluster)
    del cluster.objects["configmaps", "ns", "c"]
    cluster.put("configmaps", "d", data={"k": "2"})
    with pytest.raises(VolumeError) as caught:
        await volumes.refresh(pod, cluster)
    assert str(caught.value) == 'MountVolume.SetUp failed for volume "c" : configmap "c" not found'
    assert (prepared["c"].path / "k").read_text() == "1"
    assert (prepared["d"].path / "k").read_text() == "2"


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("a map that is not there", {"configMap": {"name": "x"}}, 'configmap "x" not found'),
    ("a secret that is not there", {"secret": {"secretName": "x"}}, 'secret "x" not found'),
    (
        "a key that is not there",
        {"configMap": {"name": "c", "items": [{"key": "zzz", "path": "z"}]}},
        "configmap references non-existent config key: zzz",
    ),
    ("a file that is a directory", {"hostPath": {"path": "/etc", "type": "File"}}, "/etc is not a file"),
    ("a directory that is not there", {"hostPath": {"path": "/none", "type": "Directory"}}, "/none is not a directory"),
    (
        "a socket that is none",
        {"hostPath": {"path": "/etc/passwd", "type": "Socket"}},
        "/etc/passwd is not a socket file",
    ),
    (
        "a device that is none",
        {"hostPath": {"path": "/etc/passwd", "type": "BlockDevice"}},
        "/etc/passwd is not a block device",
    ),
    (
        "a path with '..'",
        {"hostPath": {"path": "/etc/../root", "type": ""}},
        "invalid HostPath `/etc/../root`: must not contain '..'",
    ),
    ("an unknown medium", {"emptyDir": {"medium": "Tape"}}, 'unknown storage medium "Tape"'),
    (
        "huge pages that nobody asked for",
        {"emptyDir": {"medium": "HugePages-2Mi"}},
        "medium HugePages-2Mi: hugePages storage requested, but there is no resource request for huge pages",
    ),
    (
        "a type that needs a cluster",
        {"nfs": {"server": "a", "path": "/"}},
        "podrun has no nfs volumes, which need a cluster's storage: "
        "use emptyDir, hostPath, configMap, secret, downwardAPI, projected or image",
    ),
    (
        "gitRepo",
        {"gitRepo": {"repository": "r"}},
        "git-repo volume plugin has been disabled; if necessary, it may be re-enabled by enabling the feature-gate "
        "`GitRepoVolumeDriver`",
    ),
]


@pytest.mark.parametrize(("source", "why"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
async def test_what_cannot_be_had_is_said_in_the_kubelets_words(
    volumes: Volumes, cluster: Cluster, source: dict[str, Any], why: str
) -> None:
    cluster.put("configmaps", "c", data={})
    words = await refused(volumes, cluster, {"name": "v", **source})
    prefix = "hostPath type check failed: " if "hostPath" in source and "invalid" not in why else ""
    assert words == f'MountVolume.SetUp failed for volume "v" : {prefix}{why}'
    assert mount_points(volumes.root) == []


async def test_host_paths_are_made_where_their_type_says_so(volumes: Volumes, cluster: Cluster, tmp_path: Path) -> None:
    directory, file, untyped = tmp_path / "a/b", tmp_path / "f", tmp_path / "u"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        prepared = await volumes.prepare(
            pod_of(
                {"name": "d", "hostPath": {"path": str(directory), "type": "DirectoryOrCreate"}},
                {"name": "f", "hostPath": {"path": str(file), "type": "FileOrCreate"}},
                {"name": "s", "hostPath": {"path": str(tmp_path / "s"), "type": "Socket"}},
                {"name": "n", "hostPath": {"path": "/dev/null", "type": "CharDevice"}},
                {"name": "u", "hostPath": {"path": str(untyped)}},
            ),
            cluster,
        )
    assert directory.is_dir()
    assert file.is_file()
    assert untyped.is_dir()
    assert prepared["d"] == PreparedVolume("d", directory)


async def test_an_fs_group_owns_the_volume(volumes: Volumes, cluster: Cluster) -> None:
    cluster.put("configmaps", "c", data={"k": "1"})
    pod = pod_of(
        {"name": "e", "emptyDir": {}},
        {"name": "m", "emptyDir": {"medium": "Memory"}},
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}], "defaultMode": 0o644}},
        securityContext={"fsGroup": 4321},
    )
    prepared = await volumes.prepare(pod, cluster)
    expected = {"e": 0o2777, "m": 0o3777, "c": 0o2777, "c/k": 0o644, "t/token": 0o640}
    for name, mode in expected.items():
        volume, _, below = name.partition("/")
        facts = os.stat(prepared[volume].path / below)
        assert (stat.S_IMODE(facts.st_mode), facts.st_gid) == (mode, 4321), name


async def test_a_token_is_renewed_at_four_fifths_of_its_life(volumes: Volumes, cluster: Cluster) -> None:
    source = {"path": "token", "audience": "vault", "expirationSeconds": 1000}
    pod = pod_of({"name": "t", "projected": {"sources": [{"serviceAccountToken": source}]}}, serviceAccountName="sa")
    path = (await volumes.prepare(pod, cluster))["t"].path / "token"
    await volumes.refresh(pod, cluster)
    assert path.read_text() == "token-1"
    assert cluster.tokens == [("ns", "sa", "vault", 1000, ("p", "uid-1"))]
    due = volumes.next_refresh("uid-1")
    assert due is not None
    volumes._tokens._clock = lambda: due
    assert await volumes.refresh(pod, cluster) == {"t"}
    assert path.read_text() == "token-2"
    assert volumes.next_refresh("other") is None


async def test_an_image_is_a_volume_of_its_files(volumes: Volumes, cluster: Cluster, tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "up:per"
    for layer, content in ((lower, "old"), (upper, "new")):
        layer.mkdir()
        (layer / "both").write_text(content)
        (layer / layer.name).write_text("")
    os.mknod(upper / "lower", stat.S_IFCHR, 0)
    for reference, layers in {"two": (lower, upper), "one": (lower,), "none": ()}.items():
        cluster.layers[reference] = layers
    pod = pod_of(*({"name": name, "image": {"reference": name}} for name in ("one", "two", "none")))
    prepared = await volumes.prepare(pod, cluster)
    assert sorted(os.listdir(prepared["two"].path)) == ["both", "up:per"]
    assert (prepared["two"].path / "both").read_text() == "new"
    assert (prepared["one"].path / "both").read_text() == "old"
    assert os.listdir(prepared["none"].path) == []
    assert prepared["one"].read_only
    with pytest.raises(OSError, match="Read-only"):
        (prepared["two"].path / "x").write_text("")


async def test_mount_points_of_others_are_there_before_the_volume_is_read_only(
    volumes: Volumes, cluster: Cluster
) -> None:
    cluster.put("configmaps", "c", data={"k": "1"})
    pod = pod_of(
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "e", "emptyDir": {}},
        containers=[
            {
                "name": "a",
                "volumeMounts": [
                    {"name": "c", "mountPath": "/etc/app"},
                    {"name": "e", "mountPath": "/etc/app/cache/x"},
                    {"name": "e", "mountPath": "/etc/app/cache/x/deeper"},
                    {"name": "e", "mountPath": "/etc/application"},
                ],
            }
        ],
    )
    path = (await volumes.prepare(pod, cluster))["c"].path
    assert sorted(name for name in os.listdir(path) if name[0] != ".") == ["cache", "k"]
    assert os.listdir(path / "cache/x") == []


async def test_teardown_leaves_nothing_and_follows_no_link(volumes: Volumes, cluster: Cluster, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (outside / "below/precious").write_text("x")
    cluster.put("secrets", "s", data={})
    pod = pod_of(
        {"name": "e", "emptyDir": {}},
        {"name": "m", "emptyDir": {"medium": "Memory"}},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "h", "hostPath": {"path": str(outside)}},
    )
    prepared = await volumes.prepare(pod, cluster)
    os.symlink(outside, prepared["e"].path / "link")
    os.symlink(outside, prepared["m"].path / "link")
    (prepared["e"].path / "a/b").mkdir(parents=True)
    mounts.mount("tmpfs", str(prepared["e"].path / "a/b"), "tmpfs")
    busy = os.open(prepared["m"].path, os.O_PATH)
    await volumes.teardown("uid-1")
    os.close(busy)
    assert volumes.pods() == []
    assert mount_points(volumes.root) == []
    assert (outside / "below/precious").read_text() == "x"
    await volumes.teardown("uid-1")


@pytest.mark.parametrize("uid", ["", ".", "..", "a/b"])
async def test_a_uid_that_is_a_path_is_not_taken(volumes: Volumes, uid: str) -> None:
    with pytest.raises(ValueError, match="not a uid"):
        await volumes.teardown(uid)


async def test_an_image_of_many_layers_is_a_volume_as_well(volumes: Volumes, cluster: Cluster, tmp_path: Path) -> None:
    layers = tuple(tmp_path / f"a-layer-whose-path-is-long-{number}" for number in range(127))
    for number, layer in enumerate(layers):
        layer.mkdir()
        (layer / str(number)).touch()
    cluster.layers["many"] = layers
    prepared = await volumes.prepare(pod_of({"name": "many", "image": {"reference": "many"}}), cluster)
    assert len(os.listdir(prepared["many"].path)) == len(layers)
