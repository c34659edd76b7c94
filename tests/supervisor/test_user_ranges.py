"""Which ids a pod with a user namespace of its own has."""

from pathlib import Path

import pytest

from podrun.runtime.model import UserIds
from podrun.supervisor.user_ranges import NoRange, UserRanges


def test_ranges_begin_at_65536_and_are_reused_when_a_pod_is_gone(tmp_path: Path) -> None:
    ranges = UserRanges(tmp_path)
    assert [ranges.of(uid) for uid in ("a", "b", "a")] == [UserIds(65536), UserIds(131072), UserIds(65536)]
    ranges.release("a")
    assert ranges.of("c") == UserIds(65536)


def test_the_next_podrund_knows_the_ranges_of_pods_that_are_there(tmp_path: Path) -> None:
    first = UserRanges(tmp_path)
    kept = {uid: first.of(uid) for uid in ("a", "b")}
    following = UserRanges(tmp_path)
    assert {uid: following.of(uid) for uid in ("b", "a")} == kept
    assert following.of("c") == UserIds(3 * 65536)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"uidMappings":[{"hostId":1,"containerId":0,"length":65536}]}'])
def test_what_is_no_range_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/userns").write_text(text)
    assert UserRanges(tmp_path).of("b") == UserIds(65536)


def test_a_pod_more_than_there_are_ranges_is_refused() -> None:
    ranges = UserRanges(most=1)
    ranges.of("a")
    with pytest.raises(NoRange, match="could not find an empty slot to allocate a user namespace"):
        ranges.of("b")
