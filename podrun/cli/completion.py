"""`podrun completion SHELL`: a script that completes commands, options, pods' names and files.

The words come from the parsers themselves, so that a new option is completed without anybody thinking of it.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable

from podrun.cli.errors import OK
from podrun.cli.main import COMMANDS, OF_A_POD, command_parser, load

EXAMPLES = """\
examples:
  source <(podrun completion bash)                       # in ~/.bashrc
  podrun completion zsh > "${fpath[1]}/_podrun"
  podrun completion fish > ~/.config/fish/completions/podrun.fish
"""

_PODS = "podrun kubectl get pods -o jsonpath='{.items[*].metadata.name}' 2>/dev/null"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])


def run(arguments: argparse.Namespace) -> int:
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell]())
    return OK


def words_of(name: str) -> list[str]:
    """The long options of a command, its first argument's choices, and what the command itself knows further."""
    words: list[str] = []
    for action in command_parser(name)._actions:  # argparse offers no other way to ask
        words += [option for option in action.option_strings if option.startswith("--")]
        if not action.option_strings and action.choices:
            words += [str(choice) for choice in action.choices]
    further: Callable[[], list[str]] | None = getattr(load(name), "further_words", None)
    return words + (further() if further else [])


def _bash() -> str:
    cases = "\n".join(f"        {name}) words={shlex.quote(' '.join(words_of(name)))} ;;" for name in COMMANDS)
    return f"""\
_podrun() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} command="" words="" word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in -*) ;; *) command=$word; break ;; esac
    done
    case $command in
        "") words={shlex.quote(" ".join(COMMANDS))} ;;
{cases}
    esac
    case $command in
        {" | ".join(OF_A_POD)}) words="$words $({_PODS})" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    case $command in
        play | images) mapfile -t -O ${{#COMPREPLY[@]}} COMPREPLY < <(compgen -f -- "$current") ;;
    esac
}}
complete -o filenames -F _podrun podrun"""


def _zsh() -> str:
    listed = "\n".join(f"        {shlex.quote(f'{name}:{text}')}" for name, text in COMMANDS.items())
    cases = "\n".join(
        f"        {name}) compadd -- {' '.join(map(shlex.quote, words_of(name)))} ;;" for name in COMMANDS
    )
    return f"""\
#compdef podrun
_podrun() {{
    local -a commands
    commands=(
{listed}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    case $words[2] in
{cases}
    esac
    case $words[2] in
        {"|".join(OF_A_POD)}) compadd -- ${{(s: :)"$({_PODS})"}} ;;
        play|images) _files ;;
    esac
}}
compdef _podrun podrun"""


def _fish() -> str:
    lines = ["complete -c podrun -f"]
    for name, text in COMMANDS.items():
        lines.append(f"complete -c podrun -n __fish_use_subcommand -a {name} -d {shlex.quote(text)}")
        for word in words_of(name):
            what = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            lines.append(f"complete -c podrun -n '__fish_seen_subcommand_from {name}' {what}")
    pods = " ".join(OF_A_POD)
    lines.append(f"complete -c podrun -n '__fish_seen_subcommand_from {pods}' -a \"({_PODS} | string split ' ')\"")
    lines.append("complete -c podrun -n '__fish_seen_subcommand_from play images' -F")
    return "\n".join(lines)
