"""Settings: the file, the options over it, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from podrun.settings import Settings, SettingsError, load


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    chosen = load(tmp_path / "config.yaml", {})
    assert chosen == Settings()
    assert (chosen.host, chosen.port, chosen.server_url) == ("127.0.0.1", 6443, "https://127.0.0.1:6443")


def test_options_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("listen: 0.0.0.0:7443\ntimeScale: 0.5\nregistryMirrors:\n  docker.io: [http://127.0.0.1:5000]\n")
    chosen = load(file, {"time_scale": 0.1, "listen": None})
    assert (chosen.listen, chosen.time_scale) == ("0.0.0.0:7443", 0.1)
    assert chosen.registry_mirrors == {"docker.io": ("http://127.0.0.1:5000",)}
    assert chosen.server_url == "https://127.0.0.1:7443"


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("a: [", {}, "cannot be read"),
        ("- a", {}, "is not a mapping"),
        ("listen: nowhere", {}, "config.yaml: listen: 'nowhere' is not ADDRESS:PORT"),
        ("lissten: 1.2.3.4:1", {}, "lissten is not a setting; there are: listen, certificateNames"),
        ("", {"listen": "localhost:1"}, "option: listen: 'localhost:1' is not ADDRESS:PORT"),
        ("timeScale: 0", {}, "timeScale: Input should be greater than 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, options: dict[str, object], said: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load(file, options)
    assert said in str(raised.value)


def test_an_ipv6_address_is_bracketed(tmp_path: Path) -> None:
    assert load(tmp_path / "none", {"listen": "[::1]:6443"}).server_url == "https://[::1]:6443"
