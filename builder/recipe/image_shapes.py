"""The shapes of an image's file: one definition that reads it, and that gives its JSON Schema."""

from builder.base.shape import Choice, Field, ListOf, MapOf, Number, Table, Text
from builder.recipe import requirement
from builder.recipe.shapes import path_problem

# Linux capabilities by bit, from linux/capability.h (41 of them since Linux 5.9); the names are those of setcap(8).
CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)
# The rules of an image's contract, by the names that their findings have.
CONTRACT_RULES = (
    "build-path", "damaged", "glibc", "interpreter", "lua-ffi", "needed", "run-path", "shadow", "writable"
)


def _absolute(text: str) -> str:
    plain = text.startswith("/") and not path_problem(text[1:] or "x") and ":" not in text and "\n" not in text
    return "" if plain else f"'{text}' is not an absolute path"


def _reason(text: str) -> str:
    return "" if text.strip() else "must say why"


def _capability(text: str) -> str:
    return "" if text in CAPABILITIES else f"'{text}' is not a Linux capability"


_NAME = Text(requirement.NAME, "lower-case letters, digits, '+', '.', '-'")
_PATH = Text(check=path_problem, hint="relative to the image's root, like 'usr/local/bin'")
_USER = "[a-z_][a-z0-9_-]{0,31}"
_USER_NAME = Text(_USER, "lower-case letters, digits, '-' and '_', 32 of them at most")
_MODE = Text("0?[0-7]{3,4}", "octal digits as text, like '0755'")
_OWNER = Text(f"{_USER}:{_USER}", "USER:GROUP by name, like 'root:root'")
_ID = Number(0)
_FILE_KEYS = r"[^/\s]\S*"

_CONFIG = Table({
    "entrypoint": Field(ListOf(Text(), 1), "words that always start the container's process"),
    "command": Field(ListOf(Text(), 1), "words after the entrypoint, replaced by a user's own"),
    "env": Field(MapOf(Text(), "[A-Za-z_][A-Za-z0-9_]*"), "environment of the process"),
    "user": Field(Text(rf"(?:{_USER}|[0-9]+)(?::(?:{_USER}|[0-9]+))?"), "user that runs it: USER or USER:GROUP"),
    "working-dir": Field(Text(check=_absolute), "where it starts"),
    "stop-signal": Field(Text("SIG[A-Z0-9+-]+"), "signal that asks it to end, like SIGQUIT"),
    "ports": Field(ListOf(Text("[0-9]{1,5}(?:/(?:tcp|udp))?")), "ports it listens on, like '80/tcp'"),
    "labels": Field(MapOf(Text()), "OCI annotations of the image"),
    "healthcheck": Field(Table({
        "test": Field(ListOf(Text(), 1), "the command's words; [\"NONE\"] for no check", required=True),
        "interval": Field(Number(1), "seconds (default: 30)"),
        "timeout": Field(Number(1), "seconds (default: 30)"),
        "start-period": Field(Number(0), "seconds (default: 0)"),
        "retries": Field(Number(1), "failures in a row until it is unwell (default: 3)"),
    }), "how an engine asks whether the service is well"),
})

IMAGE = Table({
    "name": Field(_NAME, "the file's name without .toml", required=True),
    "summary": Field(Text(), "one line"),
    "from": Field(_NAME, "the image that it stands on"),
    "packages": Field(
        ListOf(Text(check=requirement.problem, hint=requirement.HINT), 1), "packages whose files it holds",
        required=True,
    ),
    "profiles": Field(ListOf(_NAME, 1), "profiles that it resolves in, its default first (default: all)"),
    "user": Field(ListOf(Table({
        "name": Field(_USER_NAME, required=True),
        "uid": Field(_ID, required=True),
        "gid": Field(_ID, "number of the primary group (default: the group's, else the uid)"),
        "group": Field(_USER_NAME, "primary group (default: the user's name)"),
        "home": Field(Text(check=_absolute), "home directory (default: /)"),
        "shell": Field(Text(check=_absolute), "login shell (default: /sbin/nologin)"),
    })), "users added to the base's"),
    "group": Field(ListOf(Table({
        "name": Field(_USER_NAME, required=True),
        "gid": Field(_ID, required=True),
        "members": Field(ListOf(_USER_NAME), "users that are in it besides their primary group"),
    })), "groups added to the base's"),
    "mode": Field(ListOf(Table({
        "path": Field(_PATH, "a path or a glob", required=True),
        "mode": Field(_MODE),
        "owner": Field(_OWNER),
    })), "permissions and owners; a later one wins"),
    "directory": Field(ListOf(Table({
        "path": Field(_PATH, required=True),
        "mode": Field(_MODE, "default: 0755"),
        "owner": Field(_OWNER, "default: root:root"),
    })), "empty directories"),
    "capabilities": Field(
        MapOf(ListOf(Text(check=_capability, hint="like 'CAP_NET_BIND_SERVICE'"), 1), _FILE_KEYS),
        "path -> Linux capabilities"
    ),
    "links": Field(MapOf(Text(r"\S+"), _FILE_KEYS), "path -> target of the symbolic link"),
    "files": Field(MapOf(Text(), _FILE_KEYS), "path -> text of a small file"),
    "waiver": Field(ListOf(Table({
        "rule": Field(Choice(CONTRACT_RULES), "a rule of the image's contract", required=True),
        "paths": Field(ListOf(_PATH, 1), "paths or globs", required=True),
        "why": Field(Text(check=_reason), "the reason, which the audit shows", required=True),
    })), "breaches of the contract that are allowed"),
    "config": Field(_CONFIG, "the command that a container engine starts, and its settings"),
}, doc="A builder image: packages, and the layer's entries besides their files.")
