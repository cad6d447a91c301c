"""`edgemm run`."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edgemm.cli.printing import print_text
from edgemm.cli.provider import add_provider_argument
from edgemm.cli.trust import add_trust_arguments, trust_from_arguments
from edgemm.errors import SinkError, UsageError

if TYPE_CHECKING:
    from edgemm.streaming.stream import Stream


EXAMPLES = """\
URIs of inputs ('edgemm plugins --kind source' lists them all):
  clip.mp4                    a video's frames or its sound, paced by their timestamps
  camera:0                    a local camera;  rtsp://user:password@host/path and http://host/video an IP camera
  mic:  mic:USB               the default microphone, or the one of that name
  stdin:                      each line of standard input is a text
  clip.srt  clip.jsonl        timed text beside a recording

Options of an input's source are query parameters that begin with 'edgemm.', so that none is taken for a camera's own; the camera never
sees them. Every input has edgemm.queue (how many packets may wait for the model) and edgemm.when_full (block, drop_oldest, drop_newest or
fail). Those of a sink follow its name: NAME:option=value&option=value. In both, %26 is an '&'.

An input that is missing, silent or at its end does not stop the stream: every result says which inputs were live, stale or
absent, and how old. Passwords in a URI are never shown.

examples:
  edgemm run desk.edgemm -i image=camera:0 -i audio=mic: -i text=stdin:
  edgemm run desk.edgemm -i image=clip.mp4 -i audio=clip.mp4 -i text=clip.srt
  edgemm run desk.edgemm -i image=clip.mp4 --fast --json | jq .outputs.answer.label
  edgemm run desk.edgemm -i "image=rtsp://camera/stream?edgemm.transport=udp&edgemm.queue=1" --sink json_lines:path=out.jsonl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = "Stream live or recorded inputs through a bundle, each at its own rate, and show every result."
    parser.epilog = EXAMPLES
    parser.add_argument("bundle", metavar="BUNDLE", type=Path)
    parser.add_argument(
        "-i",
        "--input",
        metavar="NAME=URI",
        action="append",
        default=[],
        help="where an input comes from; once per input",
    )
    parser.add_argument("--variant", default="auto", help="a target key, or a precision or device that means one")
    add_provider_argument(parser)
    add_trust_arguments(parser)
    parser.add_argument("--fast", action="store_true", help="read recordings as fast as they can be computed")
    parser.add_argument("--seconds", metavar="N", type=float, help="stop after N seconds")
    parser.add_argument(
        "--allow-missing", action="store_true", help="go on without an input that cannot be opened, instead of ending"
    )
    parser.add_argument(
        "--sink",
        metavar="NAME[:OPTIONS]",
        action="append",
        default=[],
        help="where results go, instead of the live view; may be given several times ('edgemm plugins --kind sink' lists them)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per result: the same as --sink json_lines"
    )


def inputs_from_words(words: list[str]) -> dict[str, str]:
    """Read `NAME=URI` arguments.

    Raises:
        UsageError: for a word without a name, or a name given twice; URIs are shown without their credentials.
    """
    from edgemm.uris import parse, redact

    inputs: dict[str, str] = {}
    for word in words:
        name, separator, uri = word.partition("=")
        if not separator or not name.isidentifier() or not uri:
            raise UsageError(f"-i takes NAME=URI, such as -i image=camera:0; got '{redact(word)}'")
        if name in inputs:
            raise UsageError(f"input '{name}' is given twice: {parse(inputs[name])} and {parse(uri)}")
        inputs[name] = uri
    return inputs


def sinks_from_arguments(arguments: argparse.Namespace) -> list[str]:
    """The sinks that are asked for, each once; the live view where none is."""
    asked = [*arguments.sink, *(["json_lines"] if arguments.json else [])]
    return list(dict.fromkeys(asked or ["terminal"]))


def run(arguments: argparse.Namespace) -> int:
    """Stream until every input has ended, the time is over, the reader of the output left, or Ctrl-C or SIGTERM."""
    import edgemm
    from edgemm.runtime.model import check_inputs

    inputs = inputs_from_words(arguments.input)
    trust = trust_from_arguments(arguments)
    with edgemm.open(arguments.bundle, variant=arguments.variant, provider=arguments.provider, trust=trust) as model:
        check_inputs(model, inputs)
        with edgemm.stream(
            model,
            inputs,
            sinks=sinks_from_arguments(arguments),
            realtime=not arguments.fast,
            seconds=arguments.seconds,
            allow_missing=arguments.allow_missing,
        ) as stream:
            try:
                with suppress(SinkError):  # told below, with everything else that was lost
                    stream.wait()
            except (KeyboardInterrupt, SystemExit):
                stream.close()
                _say_what_was_lost(stream)
                raise
        _say_what_was_lost(stream)
    return 1 if stream.muted else 0


def _say_what_was_lost(stream: Stream) -> None:
    for name, reason in stream.failures.items():
        _say(f"input '{name}' broke down: {reason}")
    for name, reason in stream.muted.items():
        _say(f"{name} failed, so results were lost: {reason}")
    for name, reason in stream.muted_observers.items():
        _say(f"{name} failed, and was not told more: {reason}")
    if stream.drops:
        words = {"full": "the model was busy"}
        causes = stream.drops_by_cause.items()
        counts = ", ".join(f"{name} {count} ({words.get(cause, cause)})" for (name, cause), count in causes)
        _say(f"dropped: {counts}")
    if stream.clamped:
        counts = ", ".join(f"{name} {count}" for name, count in stream.clamped.items())
        _say(f"stamped ahead of the clock, and taken as now: {counts}")
    if stream.missed:
        _say(f"left out because the model was late, or time had jumped: {stream.missed} answers")


def _say(line: str) -> None:
    print_text(f"edgemm run: {line}", sys.stderr)
