"""The command line: exit codes, one-screen errors, help that needs nothing."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

import edgemm
from edgemm.cli import commands
from edgemm.cli import main as main_module
from edgemm.cli.commands import COMMANDS, PLUGIN
from edgemm.cli.main import main
from edgemm.errors import BundleError, CheckpointError, EdgeMMError, MissingDependencyError, UsageError
from edgemm.host import plugin_host as host_module
from edgemm.host.plugin_host import PluginHost

OURS = [name for name, (_, module) in COMMANDS.items() if module != PLUGIN]


@pytest.fixture
def command(monkeypatch):
    """Puts a command `try` into the table whose `run` is the given function."""

    def install(run):
        module = SimpleNamespace(add_arguments=lambda parser: parser.add_argument("--flag"), run=run)
        monkeypatch.setattr(main_module, "find_command", lambda name: module)

    return install


def raising(error):
    def run(arguments):
        raise error

    return run


def edgemm_process(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "edgemm", *words], capture_output=True, text=True, check=False, **options
    )


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(words, capsys):
    assert main(words) == 0
    out = capsys.readouterr().out
    for name, (summary, _) in COMMANDS.items():
        assert f"  {name} " in out
        assert summary in out


def test_no_command_is_wrong_usage(capsys):
    assert main([]) == 2
    assert "usage: edgemm COMMAND" in capsys.readouterr().err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edgemm {edgemm.__version__}\n"


@pytest.mark.parametrize("name", OURS)
def test_help_of_every_command_teaches(name, capsys):
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"usage: edgemm {name}" in out
    assert "examples:" in out
    assert f"edgemm {name}" in out.split("examples:")[1]


@pytest.mark.parametrize("name", OURS)
def test_a_wrong_option_is_wrong_usage(name, capsys):
    assert main([name, "--no-such-option"]) == 2
    assert "usage: edgemm" in capsys.readouterr().err


def test_an_unknown_command_suggests_the_nearest(capsys):
    assert main(["exprot"]) == 2
    err = capsys.readouterr().err
    assert "unknown command 'exprot'; did you mean 'export'?" in err
    assert "Traceback" not in err


def test_an_option_before_the_command_is_explained(capsys):
    assert main(["--json", "plugins"]) == 2
    assert "write the command first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BundleError("it was changed"), 1),
        (UsageError("that cannot be"), 2),
        (CheckpointError("does not fit"), 2),
        (MissingDependencyError("needs torch"), 3),
    ],
)
def test_an_error_is_one_message_and_its_own_code(error, code, command, capsys):
    command(raising(error))
    assert main(["try"]) == code
    assert capsys.readouterr().err == f"edgemm: {error}\n"


def test_the_exit_code_of_a_command_is_returned(command):
    command(lambda arguments: 1)
    assert main(["try"]) == 1


def test_a_long_message_is_cut_to_one_screen(command, capsys):
    command(raising(UsageError("\n".join("x" * 1000 for _ in range(100)))))
    main(["try"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 410


def test_a_fault_of_ours_shows_no_traceback_and_no_password(command, capsys):
    command(raising(ValueError("cannot read rtsp://ann:secret@camera/1")))
    assert main(["try"]) == 1
    err = capsys.readouterr().err
    assert "ValueError: cannot read rtsp://***@camera/1" in err
    assert "secret" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize("error", [UsageError("that cannot be"), ValueError("a fault")])
def test_debugging_shows_the_traceback(error, command, monkeypatch):
    monkeypatch.setenv("EDGEMM_DEBUG", "1")
    command(raising(error))
    with pytest.raises(type(error)):
        main(["try"])


def test_ctrl_c_is_130(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert main(["try"]) == 130
    assert capsys.readouterr().err == "edgemm: interrupted\n"


def test_sigint_ends_a_process_with_130():
    code = "import sys, time, types\nfrom edgemm.cli import main\n"
    code += "def run(arguments):\n    print('ready', flush=True)\n    time.sleep(60)\n"
    code += "main.find_command = lambda name: types.SimpleNamespace(add_arguments=lambda parser: None, run=run)\n"
    code += "sys.exit(main.main(['try']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "edgemm: interrupted\n")


def test_a_reader_that_leaves_is_no_error():
    code = "import sys\nfrom edgemm.cli.main import main\nimport edgemm.cli.commands as c\n"
    code += "c.overview = lambda: iter(['x' * 100] * 100000)\nimport edgemm.cli.main as m\nm.overview = c.overview\n"
    code += "sys.exit(main(['--help']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), err) == (141, b"")


def test_a_plugin_adds_a_command(monkeypatch, capsys):
    ran = []

    class Plugin:
        @staticmethod
        @edgemm.hookimpl
        def edgemm_commands():
            yield edgemm.CommandEntry(name="count-frames", factory="tests_of_a_plugin_command")

    module = SimpleNamespace(
        __name__="tests_of_a_plugin_command",
        add_arguments=lambda parser: parser.add_argument("file"),
        run=lambda arguments: ran.append(arguments.file) or 0,
    )
    monkeypatch.setitem(sys.modules, "tests_of_a_plugin_command", module)
    host = PluginHost(only=[])
    host.register(Plugin, "counting")
    monkeypatch.setattr(host_module, "default_host", lambda: host)
    assert main(["count-frames", "clip.mp4"]) == 0
    assert ran == ["clip.mp4"]
    assert main(["count-frame"]) == 2
    assert "did you mean 'count-frames'?" in capsys.readouterr().err


def metadata_version(monkeypatch, found):
    def version(distribution):
        assert distribution == "edgemm-digit-desk"
        if found is None:
            raise importlib.metadata.PackageNotFoundError
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize("words", [["demo"], ["demo", "--help"], ["demo", "--fast"]])
def test_without_the_reference_model_the_demo_says_what_to_install(words, monkeypatch, capsys):
    monkeypatch.setattr(host_module, "default_host", lambda: PluginHost(only=[]))
    metadata_version(monkeypatch, None)
    assert main(words) == 3
    assert capsys.readouterr().err == (
        "edgemm: 'edgemm demo' needs the reference model, a distribution of its own: pip install edgemm-digit-desk\n"
        "  in a checkout of EdgeMM: pip install ./plugins/digit_desk\n"
    )


def test_a_reference_model_that_is_installed_but_not_in_use_is_not_to_be_installed_again(monkeypatch, capsys):
    monkeypatch.setattr(host_module, "default_host", lambda: PluginHost(only=[]))
    metadata_version(monkeypatch, "0.1.0")
    assert main(["demo"]) == 3
    err = capsys.readouterr().err
    assert "edgemm-digit-desk 0.1.0 is installed, but its plugin is not in use: see 'edgemm plugins'" in err
    assert "pip install" not in err


def test_our_own_commands_need_no_plugin(monkeypatch):
    monkeypatch.setattr(host_module, "default_host", lambda: pytest.fail("plugins were discovered"))
    assert commands.find_command("run").__name__ == "edgemm.cli.run"


def test_every_error_has_a_documented_exit_code():
    def below(kind):
        return {kind, *(deeper for child in kind.__subclasses__() for deeper in below(child))}

    assert {kind.exit_code for kind in below(EdgeMMError)} == {1, 2, 3}


def test_python_m_edgemm_is_the_command():
    done = edgemm_process("--version")
    assert (done.returncode, done.stdout) == (0, f"edgemm {edgemm.__version__}\n")


def test_no_python_warning_reaches_the_user():
    done = edgemm_process("plugins", env=os.environ | {"PYTHONWARNINGS": "error"})
    assert (done.returncode, done.stderr) == (0, "")
