"""Image recipes: what goes into a layer besides the files of its packages.

One TOML file an image, `recipes/images/NAME.toml`. Paths are relative to the image's root, without a leading slash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder import canonical, decode, requirement
from builder.decode import Field, JsonSchema, ListOf, MapOf, Number, Problems, Table, Text, near
from builder.errors import Problem
from builder.recipe import path_problem
from builder.requirement import Requirement

# Linux capabilities by bit, from linux/capability.h (41 of them since Linux 5.9); the names are what setcap(8) takes.
CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)
ROOT = "root"
_LAST_ID = 65534  # "nobody"; 65535 is (uid_t)-1 on systems with 16-bit ids


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """One line of /etc/passwd. `group` is the name of the primary group and `gid` its number."""

    name: str
    uid: int
    gid: int
    group: str
    home: str = "/"
    shell: str = "/sbin/nologin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """One line of /etc/group."""

    name: str
    gid: int
    members: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Mode:
    """Permissions and owner of what matches `path` (a path or a glob); a later one wins over an earlier one.

    mode: permission bits, None leaves them. owner: "user:group" by name, "" leaves it.
    """

    path: str
    mode: int | None = None
    owner: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory:
    """An empty folder that the layer makes."""

    path: str
    mode: int = 0o755
    owner: str = "root:root"


@dataclass(frozen=True, kw_only=True, slots=True)
class Healthcheck:
    """How a container engine asks whether the service is well (OCI has none; Docker's image config, "Healthcheck").

    test: the command's words. interval, timeout, start_period: seconds. retries: failures in a row until it is unwell.
    """

    test: tuple[str, ...]
    interval: int = 30
    timeout: int = 30
    start_period: int = 0
    retries: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """What a container engine starts (OCI image-spec, config.md)."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    ports: tuple[str, ...] = ()  # "80/tcp"
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Healthcheck | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRecipe:
    """A parsed image recipe. `digest` is the SHA-256 of its canonical content.

    profiles: those it resolves in, its default first; empty means every profile of the project.
    capabilities: path -> names. links: path -> target. files: path -> text.
    """

    name: str
    path: str
    digest: str
    summary: str = ""
    packages: tuple[Requirement, ...] = ()
    profiles: tuple[str, ...] = ()
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    modes: tuple[Mode, ...] = ()
    directories: tuple[Directory, ...] = ()
    capabilities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    config: Config = field(default_factory=Config)


def _absolute(text: str) -> str:
    plain = text.startswith("/") and not path_problem(text[1:] or "x") and ":" not in text and "\n" not in text
    return "" if plain else f"'{text}' is not an absolute path"


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
    "command": Field(ListOf(Text(), 1), "words after the entrypoint, replaced by what a user gives"),
    "env": Field(MapOf(Text(), "[A-Za-z_][A-Za-z0-9_]*"), "environment of the process"),
    "user": Field(Text(rf"(?:{_USER}|[0-9]+)(?::(?:{_USER}|[0-9]+))?"), "who runs it: USER or USER:GROUP"),
    "working-dir": Field(Text(check=_absolute), "where it starts"),
    "stop-signal": Field(Text("SIG[A-Z0-9+-]+"), "what asks it to end, like SIGQUIT"),
    "ports": Field(ListOf(Text("[0-9]{1,5}(?:/(?:tcp|udp))?")), "ports it listens on, like '80/tcp'"),
    "labels": Field(MapOf(Text()), "OCI annotations of the image"),
    "healthcheck": Field(Table({
        "test": Field(ListOf(Text(), 1), "the command's words", required=True),
        "interval": Field(Number(1), "seconds (default: 30)"),
        "timeout": Field(Number(1), "seconds (default: 30)"),
        "start-period": Field(Number(0), "seconds (default: 0)"),
        "retries": Field(Number(1), "failures in a row until it is unwell (default: 3)"),
    }), "how an engine asks whether the service is well"),
})

IMAGE = Table({
    "name": Field(_NAME, "the file's name without .toml", required=True),
    "summary": Field(Text(), "one line"),
    "packages": Field(ListOf(Text(check=requirement.problem, hint=requirement.HINT), 1), "whose files it holds", required=True),
    "profiles": Field(ListOf(_NAME, 1), "profiles that it resolves in, its default first (default: all)"),
    "user": Field(ListOf(Table({
        "name": Field(_USER_NAME, required=True),
        "uid": Field(_ID, required=True),
        "gid": Field(_ID, "number of the primary group (default: the group's, else the uid)"),
        "group": Field(_USER_NAME, "primary group (default: the user's name)"),
        "home": Field(Text(check=_absolute), "home folder (default: /)"),
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
    })), "empty folders"),
    "capabilities": Field(
        MapOf(ListOf(Text(check=_capability, hint="like 'CAP_NET_BIND_SERVICE'"), 1), _FILE_KEYS), "path -> Linux capabilities"
    ),
    "links": Field(MapOf(Text(r"\S+"), _FILE_KEYS), "path -> what the symbolic link says"),
    "files": Field(MapOf(Text(), _FILE_KEYS), "path -> text of a small file"),
    "config": Field(_CONFIG, "what a container engine starts"),
}, doc="A builder image: packages, and what the layer holds besides their files.")


def read(data: Any, *, path: str, stem: str, problems: Problems) -> ImageRecipe | None:
    """The image that parsed TOML `data` of the file `path` describes; problems are added, and then it is None."""
    mine: Problems = []
    place = f"{path}: "
    table = decode.read(IMAGE, data, place, mine)
    if table is not None and not mine:
        if table["name"] != stem:
            mine.append(Problem(f"{place}name", f"is '{table['name']}' but the file is {stem}.toml", "make them the same"))
        image = _image(table, canonical.key(data), path)
        _check(image, place, mine)
        if not mine:
            return image
    problems.extend(mine)
    return None


def schema() -> JsonSchema:
    """JSON Schema (draft 2020-12) of an image recipe, from the same definition that reads it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "builder image", **IMAGE.schema()}


def _image(table: Mapping[str, Any], digest: str, path: str) -> ImageRecipe:
    groups = tuple(
        Group(name=each["name"], gid=each["gid"], members=tuple(each.get("members", ()))) for each in table.get("group", ())
    )
    users, primary = _users(table.get("user", ()), groups)
    return ImageRecipe(
        name=table["name"], path=path, digest=digest, summary=table.get("summary", ""),
        packages=tuple(map(requirement.parse, table["packages"])), profiles=tuple(table.get("profiles", ())),
        users=users, groups=groups + primary,
        modes=tuple(Mode(path=each["path"], mode=_bits(each), owner=each.get("owner", "")) for each in table.get("mode", ())),
        directories=tuple(map(_directory, table.get("directory", ()))),
        capabilities={key: tuple(names) for key, names in table.get("capabilities", {}).items()},
        links=table.get("links", {}), files=table.get("files", {}), config=_config(table.get("config", {})),
    )


def _users(tables: Any, groups: tuple[Group, ...]) -> tuple[tuple[User, ...], tuple[Group, ...]]:
    """The users, and the primary groups that are not written as [[group]]."""
    known = {each.name: each.gid for each in groups}
    users, made = [], []
    for table in tables:
        group = table.get("group", table["name"])
        gid = table.get("gid", known.get(group, 0 if group == ROOT else table["uid"]))
        if group not in known and group != ROOT:
            known[group] = gid
            made.append(Group(name=group, gid=gid))
        more = {key: table[key] for key in ("home", "shell") if key in table}
        users.append(User(name=table["name"], uid=table["uid"], gid=gid, group=group, **more))
    return tuple(users), tuple(made)


def _bits(table: Mapping[str, Any]) -> int | None:
    return int(table["mode"], 8) if "mode" in table else None


def _directory(table: Mapping[str, Any]) -> Directory:
    bits = _bits(table)
    return Directory(path=table["path"], mode=0o755 if bits is None else bits, owner=table.get("owner", "root:root"))


def _config(table: Mapping[str, Any]) -> Config:
    health = table.get("healthcheck")
    return Config(
        entrypoint=tuple(table.get("entrypoint", ())), command=tuple(table.get("command", ())), env=table.get("env", {}),
        user=table.get("user", ""), working_dir=table.get("working-dir", ""), stop_signal=table.get("stop-signal", ""),
        ports=tuple(each if "/" in each else f"{each}/tcp" for each in table.get("ports", ())), labels=table.get("labels", {}),
        healthcheck=None if health is None else Healthcheck(
            test=tuple(health["test"]), **{key.replace("-", "_"): health[key] for key in health if key != "test"}
        ),
    )


def _check(image: ImageRecipe, place: str, problems: Problems) -> None:
    """What only the whole image can tell: names and numbers given twice, owners and members that nobody declares."""
    _check_twice([(each.name, each.uid) for each in image.users], f"{place}user", "user", "uid", problems)
    _check_twice([(each.name, each.gid) for each in image.groups], f"{place}group", "group", "gid", problems)
    users = {ROOT: 0} | {each.name: each.uid for each in image.users}
    groups = {ROOT: 0} | {each.name: each.gid for each in image.groups}
    for number, user in enumerate(image.users):
        if groups[user.group] != user.gid:
            text = f"is {user.gid}, but group '{user.group}' has {groups[user.group]}"
            problems.append(Problem(f"{place}user[{number}].gid", text, "leave it out to take the group's"))
    for number, group in enumerate(image.groups):
        for member in group.members:
            _known(member, users, f"{place}group[{number}].members", "user", problems)
    owned = [(f"mode[{number}]", each.owner) for number, each in enumerate(image.modes)]
    owned += [(f"directory[{number}]", each.owner) for number, each in enumerate(image.directories)]
    for key, owner in owned:
        if owner:
            user_name, group_name = owner.split(":")
            _known(user_name, users, f"{place}{key}.owner", "user", problems)
            _known(group_name, groups, f"{place}{key}.owner", "group", problems)
    _check_config(image.config, users, groups, f"{place}config", problems)
    _check_paths(image, place, problems)


def _check_twice(rows: list[tuple[str, int]], at: str, noun: str, number: str, problems: Problems) -> None:
    names, numbers = {ROOT}, {0}
    for row, (name, value) in enumerate(rows):
        if name in names:
            problems.append(Problem(f"{at}[{row}].name", f"{noun} '{name}' is there twice", "remove one of them; every base has root"))
        elif value in numbers:
            problems.append(Problem(f"{at}[{row}].{number}", f"{value} is taken by another {noun}", "give each its own number"))
        elif value > _LAST_ID:
            problems.append(Problem(f"{at}[{row}].{number}", f"{value} is too large", f"at most {_LAST_ID}"))
        names.add(name)
        numbers.add(value)


def _known(name: str, known: Mapping[str, int], at: str, noun: str, problems: Problems) -> None:
    if name not in known:
        problems.append(Problem(at, f"{noun} '{name}' is not declared in this image", near(name, sorted(known))))


def _check_config(config: Config, users: Mapping[str, int], groups: Mapping[str, int], at: str, problems: Problems) -> None:
    user, _, group = config.user.partition(":")
    for name, known, noun in ((user, users, "user"), (group, groups, "group")):
        if name and not name.isdigit():
            _known(name, known, f"{at}.user", noun, problems)
    for number, port in enumerate(config.ports):
        if not 0 < int(port.partition("/")[0]) < 65536:
            problems.append(Problem(f"{at}.ports[{number}]", f"'{port}' is not a port", "a number from 1 to 65535"))


def _check_paths(image: ImageRecipe, place: str, problems: Problems) -> None:
    """Keys that are paths, and one path made in two ways."""
    made = {each.path: f"directory[{number}]" for number, each in enumerate(image.directories)}
    for key, paths in (("capabilities", image.capabilities), ("links", image.links), ("files", image.files)):
        for path in paths:
            if message := path_problem(path):
                problems.append(Problem(f"{place}{key}.{path}", message, "relative to the image's root"))
            elif key != "capabilities" and path in made:
                problems.append(Problem(f"{place}{key}.{path}", f"is made by {made[path]} too", "remove one of them"))
            elif key != "capabilities":
                made[path] = key
