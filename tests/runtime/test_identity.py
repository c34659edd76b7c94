"""Who a container runs as: a table over one image's passwd and group files."""

import pytest

from podrun.runtime.identity import Identity, UnknownIdentity, resolve
from podrun.runtime.model import User

FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/srv/app:/bin/sh\nbroken line\n",
    "/etc/group": "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\nextra:x:2000:app\n",
}


def _read(path: str) -> str:
    return FILES.get(path, "")


@pytest.mark.parametrize(
    ("why", "user", "expected"),
    [
        ("nothing asked: root with its groups", User(), Identity(0, 0, (0, 10), "/root")),
        ("a name of the image", User(name="app"), Identity(1000, 1001, (1001, 10, 2000), "/srv/app")),
        ("a name and a group", User(name="app:wheel"), Identity(1000, 10, (10, 2000), "/srv/app")),
        ("numbers of the image", User(name="1000:5"), Identity(1000, 5, (5, 10, 2000), "/srv/app")),
        ("runAsUser wins over the image's user and group", User(uid=7, name="app:wheel"), Identity(7, 0, (0,), "/")),
        (
            "runAsUser with an entry has the entry's group",
            User(uid=1000),
            Identity(1000, 1001, (1001, 10, 2000), "/srv/app"),
        ),
        ("runAsGroup", User(uid=7, gid=8), Identity(7, 8, (8,), "/")),
        (
            "fsGroup and supplementalGroups are joined, each once",
            User(uid=7, supplemental_groups=(3, 8), fs_group=3),
            Identity(7, 0, (0, 3, 8), "/"),
        ),
        (
            "Strict: the image's groups are not",
            User(name="app", supplemental_groups=(3,), strict_groups=True),
            Identity(1000, 1001, (1001, 3), "/srv/app"),
        ),
    ],
)
def test_identity(why: str, user: User, expected: Identity) -> None:
    assert resolve(user, _read) == expected, why


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("app:none", "unable to find group none: no matching entries in group file"),
    ],
)
def test_an_unknown_name_is_an_error(name: str, message: str) -> None:
    with pytest.raises(UnknownIdentity, match=message):
        resolve(User(name=name), _read)


def test_an_image_without_files_knows_numbers_only() -> None:
    assert resolve(User(name="65532"), lambda path: "") == Identity(65532, 0, (0,), "/")
