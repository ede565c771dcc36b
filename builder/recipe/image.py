"""Image recipes: a layer's entries besides the files of its packages.

One TOML file an image, `recipes/images/NAME.toml`. Paths are relative to the image's root, without a leading slash.

An image can stand on another one (`from`). It has that one's layers, and one of its own on top; users, groups,
profiles, waivers and the command that a container engine starts come from there, unless it has its own.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import fields, replace

from builder.base import canonical, globs, shape
from builder.base.errors import Problem
from builder.base.shape import JsonSchema, Problems, near
from builder.recipe import requirement
from builder.recipe.image_shapes import IMAGE
from builder.recipe.requirement import Requirement
from builder.recipe.shapes import path_problem

ROOT = "root"
_LAST_ID = 65534  # "nobody"; 65535 is (uid_t)-1 on systems with 16-bit ids


class User(Struct, frozen=True, kw_only=True):
    """One line of /etc/passwd. `group` is the name of the primary group and `gid` its number."""

    name: str
    uid: int
    gid: int
    group: str
    home: str = "/"
    shell: str = "/sbin/nologin"


class Group(Struct, frozen=True, kw_only=True):
    """One line of /etc/group."""

    name: str
    gid: int
    members: tuple[str, ...] = ()


class Mode(Struct, frozen=True, kw_only=True):
    """Permissions and owner of the entries that match `path` (a path or a glob); a later one wins over an earlier one.

    mode: permission bits, None leaves them. owner: "user:group" by name, "" leaves it.
    """

    path: str
    mode: int | None = None
    owner: str = ""


class Directory(Struct, frozen=True, kw_only=True):
    """An empty directory that the layer makes."""

    path: str
    mode: int = 0o755
    owner: str = "root:root"


class Healthcheck(Struct, frozen=True, kw_only=True):
    """How a container engine asks whether the service is well (OCI has none; Docker's image config, "Healthcheck").

    test: the command's words; "NONE" alone asks nothing. interval, timeout, start_period: seconds. retries: failures in
    a row until it is unwell.
    """

    test: tuple[str, ...]
    interval: int = 30
    timeout: int = 30
    start_period: int = 0
    retries: int = 3


class Config(Struct, frozen=True, kw_only=True):
    """The command that a container engine starts (OCI image-spec, config.md)."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    ports: tuple[str, ...] = ()  # "80/tcp"
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Healthcheck | None = None


class Waiver(Struct, frozen=True, kw_only=True):
    """A breach of the contract that is allowed: of `rule`, on paths that `glob` matches, and why."""

    rule: str
    glob: str
    why: str

    def covers(self, rule: str, path: str) -> bool:
        """Whether it covers a finding of `rule` at `path` (for Lua with ":LINE")."""
        return rule == self.rule and globs.matches(path.partition(":")[0], (self.glob,))


class ImageRecipe(Struct, frozen=True, kw_only=True):
    """A parsed image recipe. `digest` is the SHA-256 of its canonical content, with that of the image below.

    below: name of the image that it stands on, or "". users, groups, waivers, profiles and config include those from
    there; everything else is of its own layer.
    profiles: those it resolves in, its default first; empty means every profile of the project.
    capabilities: path -> names. links: path -> target. files: path -> text.
    """

    name: str
    path: str
    digest: str
    summary: str = ""
    below: str = ""
    packages: tuple[Requirement, ...] = ()
    profiles: tuple[str, ...] = ()
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    modes: tuple[Mode, ...] = ()
    directories: tuple[Directory, ...] = ()
    capabilities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    config: Config = field(default_factory=Config)


def read(
    data: Any, *, path: str, stem: str, problems: Problems, below: ImageRecipe | None = None
) -> ImageRecipe | None:
    """The image that parsed TOML `data` of the file `path` describes; problems are added, and then it is None.

    below: the image that it stands on. An image that names one that cannot be had is None, too: only its shape is
    checked.
    """
    mine: Problems = []
    place = f"{path}: "
    table = shape.read(IMAGE, data, place, mine)
    if table is not None and not mine:
        if table["name"] != stem:
            mine.append(
                Problem(f"{place}name", f"is '{table['name']}' but the file is {stem}.toml", "make them the same")
            )
        if "from" in table and below is None:
            problems.extend(mine)
            return None
        ground = below or NOTHING
        image = _image(table, canonical.key([data, below.digest] if below else data), path, ground)
        _check(image, place, mine, ground)
        if not mine:
            return _stacked(image, ground)
    problems.extend(mine)
    return None


def stands_on(data: Any) -> str:
    """The name of the image that parsed TOML `data` says it stands on, or ""."""
    found = data.get("from", "") if isinstance(data, dict) else ""
    return found if isinstance(found, str) else ""


def schema() -> JsonSchema:
    """JSON Schema (draft 2020-12) of an image recipe, from the same definition that reads it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "builder image", **IMAGE.schema()}


NOTHING = ImageRecipe(name="", path="", digest="")  # stands below an image that names no other


def _stacked(image: ImageRecipe, below: ImageRecipe) -> ImageRecipe:
    """An image with the parts that come from the one below."""
    return replace(
        image, users=below.users + image.users, groups=below.groups + image.groups,
        waivers=below.waivers + image.waivers,
        profiles=image.profiles or below.profiles, config=_inherited(image.config, below.config),
    )


def _inherited(config: Config, below: Config) -> Config:
    """`config` with the values below where it leaves them open, also single variables and labels."""
    found = {each.name: getattr(config, each.name) or getattr(below, each.name) for each in fields(Config)}
    return Config(**found | {"env": {**below.env, **config.env}, "labels": {**below.labels, **config.labels}})


def _image(table: Mapping[str, Any], digest: str, path: str, below: ImageRecipe) -> ImageRecipe:
    groups = tuple(
        Group(
            name=each["name"], gid=each["gid"], members=tuple(each.get("members", ()))
        ) for each in table.get("group", ())
    )
    users, primary = _users(table.get("user", ()), below.groups + groups)
    return ImageRecipe(
        name=table["name"], path=path, digest=digest, summary=table.get("summary", ""), below=table.get("from", ""),
        packages=tuple(map(requirement.parse, table["packages"])), profiles=tuple(table.get("profiles", ())),
        users=users, groups=groups + primary,
        modes=tuple(
            Mode(path=each["path"], mode=_bits(each), owner=each.get("owner", "")) for each in table.get("mode", ())
        ),
        directories=tuple(map(_directory, table.get("directory", ()))),
        capabilities={key: tuple(names) for key, names in table.get("capabilities", {}).items()},
        links=table.get("links", {}), files=table.get("files", {}), config=_config(table.get("config", {})),
        waivers=tuple(
            Waiver(
                rule=each["rule"], glob=glob, why=each["why"]
            ) for each in table.get("waiver", ()) for glob in each["paths"]
        ),
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
        entrypoint=tuple(table.get("entrypoint", ())), command=tuple(table.get("command", ())),
        env=table.get("env", {}),
        user=table.get("user", ""), working_dir=table.get("working-dir", ""), stop_signal=table.get("stop-signal", ""),
        ports=tuple(each if "/" in each else f"{each}/tcp" for each in table.get("ports", ())),
        labels=table.get("labels", {}),
        healthcheck=None if health is None else Healthcheck(
            test=tuple(health["test"]), **{key.replace("-", "_"): health[key] for key in health if key != "test"}
        ),
    )


def _check(image: ImageRecipe, place: str, problems: Problems, below: ImageRecipe) -> None:
    """Check the whole image: names and numbers given twice, owners and members that are not declared."""
    users = {ROOT: 0} | {each.name: each.uid for each in below.users}
    groups = {ROOT: 0} | {each.name: each.gid for each in below.groups}
    _check_twice([(each.name, each.uid) for each in image.users], users, place, "user", problems)
    _check_twice([(each.name, each.gid) for each in image.groups], groups, place, "group", problems)
    users |= {each.name: each.uid for each in image.users}
    groups |= {each.name: each.gid for each in image.groups}
    _check_profiles(image, place, problems, below)
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


def _check_profiles(image: ImageRecipe, place: str, problems: Problems, below: ImageRecipe) -> None:
    """An image is made in a profile of the one that it stands on."""
    for number, name in enumerate(image.profiles):
        if below.profiles and name not in below.profiles:
            text = f"image '{below.name}', on which it stands, does not resolve in profile '{name}'"
            problems.append(Problem(f"{place}profiles[{number}]", text, "its profiles: " + ", ".join(below.profiles)))


def _check_twice(
    rows: list[tuple[str, int]], known: Mapping[str, int], place: str, noun: str, problems: Problems
) -> None:
    """known: names and numbers that are there before the first of `rows`: root's, and those of the image below."""
    names, numbers = {*known}, {*known.values()}
    for row, (name, value) in enumerate(rows):
        at, number = f"{place}{noun}[{row}]", f"{noun[0]}id"
        if name in names:
            there = "the image below has it" if name in known and name != ROOT else "every base has root"
            problems.append(Problem(f"{at}.name", f"{noun} '{name}' is there twice", f"remove one of them; {there}"))
        elif value in numbers:
            problems.append(
                Problem(f"{at}.{number}", f"{value} is taken by another {noun}", "give each its own number")
            )
        elif value > _LAST_ID:
            problems.append(Problem(f"{at}.{number}", f"{value} is too large", f"at most {_LAST_ID}"))
        names.add(name)
        numbers.add(value)


def _known(name: str, known: Mapping[str, int], at: str, noun: str, problems: Problems) -> None:
    if name not in known:
        problems.append(Problem(at, f"{noun} '{name}' is not declared in this image", near(name, sorted(known))))


def _check_config(
    config: Config, users: Mapping[str, int], groups: Mapping[str, int], at: str, problems: Problems
) -> None:
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
