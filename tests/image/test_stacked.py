"""An image on another one (`from`): what it has from there, what its own layer holds, and that it follows what is below."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import small
import tomli
from layers import image_recipe, package
from locks import make_lock
from recipe_files import problems_of, write
from small import Small

from builder.audit import RULES
from builder.base.errors import LockError, RefusedError
from builder.build.build import StoreView
from builder.image.oci import accounts, layer
from builder.image.oci.entry import DIR, FILE, LINK, Entry
from builder.lock import text as lock_text
from builder.lock.lock import Lock, LockedImage, LockedLayer
from builder.plan.plan import Graph, Plan
from builder.recipe import image, project
from builder.recipe.image import Config, Directory, Group, Healthcheck, ImageRecipe, User, Waiver
from builder.show import graph, inventory
from builder.store import Store

PLATFORM = "x86_64-linux-musl"
LOWER = """
name = "lower"
packages = ["a"]
profiles = ["p", "q"]
user = [{ name = "nginx", uid = 101 }]
waiver = [{ rule = "needed", paths = ["opt/**"], why = "a plugin" }]
[config]
command = ["nginx"]
user = "nginx"
stop-signal = "SIGQUIT"
ports = ["80"]
env = { PATH = "/bin", HOME = "/" }
labels = { title = "lower", vendor = "us" }
healthcheck = { test = ["true"], interval = 5 }
"""
UPPER = 'name = "upper"\nfrom = "lower"\npackages = ["b"]\n'


def read(text: str, below: ImageRecipe | None = None) -> ImageRecipe:
    problems: list[Any] = []
    table = tomli.loads(text)
    path = f"recipes/images/{table['name']}.toml"
    found = image.read(table, path=path, stem=table["name"], problems=problems, below=below)
    assert problems == []
    assert found is not None
    return found


def wrong(more: str, below: str = LOWER) -> list[str]:
    problems: list[Any] = []
    lower = read(below)
    assert image.read(tomli.loads(UPPER + more), path="upper.toml", stem="upper", problems=problems, below=lower) is None
    return [str(each) for each in problems]


# ---- the recipe


def test_what_an_image_does_not_say_is_as_below() -> None:
    found = read(UPPER, read(LOWER))
    assert found == ImageRecipe(
        name="upper", path="recipes/images/upper.toml", digest=found.digest, below="lower", packages=found.packages,
        profiles=("p", "q"), users=(User(name="nginx", uid=101, gid=101, group="nginx"),), groups=(Group(name="nginx", gid=101),),
        waivers=(Waiver(rule="needed", glob="opt/**", why="a plugin"),),
        config=Config(
            command=("nginx",), user="nginx", stop_signal="SIGQUIT", ports=("80/tcp",), env={"PATH": "/bin", "HOME": "/"},
            labels={"title": "lower", "vendor": "us"}, healthcheck=Healthcheck(test=("true",), interval=5),
        ),
    )
    assert [str(each) for each in found.packages] == ["b"]


def test_what_an_image_says_itself_counts() -> None:
    found = read(UPPER + """
profiles = ["q"]
user = [{ name = "tester", uid = 1000, group = "nginx" }]
waiver = [{ rule = "glibc", paths = ["a", "b"], why = "tools" }]
[config]
command = ["sh"]
user = "tester"
env = { PATH = "/usr/bin" }
labels = { title = "upper" }
healthcheck = { test = ["NONE"] }
""", read(LOWER))
    assert found.profiles == ("q",)
    assert [(each.name, each.uid, each.gid) for each in found.users] == [("nginx", 101, 101), ("tester", 1000, 101)]
    assert found.groups == (Group(name="nginx", gid=101),)
    assert [(each.rule, each.glob) for each in found.waivers] == [("needed", "opt/**"), ("glibc", "a"), ("glibc", "b")]
    assert found.config == Config(
        command=("sh",), user="tester", stop_signal="SIGQUIT", ports=("80/tcp",), env={"PATH": "/usr/bin", "HOME": "/"},
        labels={"title": "upper", "vendor": "us"}, healthcheck=Healthcheck(test=("NONE",)),
    )


def test_the_digest_changes_with_the_image_below() -> None:
    assert read(UPPER, read(LOWER)).digest != read(UPPER, read(LOWER.replace('"SIGQUIT"', '"SIGTERM"'))).digest
    assert read(UPPER, read(LOWER)).digest == read(UPPER, read("# the same\n" + LOWER)).digest


@pytest.mark.parametrize(("more", "expected"), [
    ('profiles = ["p", "r"]', [
        "upper.toml: profiles[1]: image 'lower', on which it stands, does not resolve in profile 'r' (its profiles: p, q)",
    ]),
    ('user = [{ name = "nginx", uid = 5 }, { name = "me", uid = 101, group = "root" }]', [
        "upper.toml: user[0].name: user 'nginx' is there twice (remove one of them; the image below has it)",
        "upper.toml: user[1].uid: 101 is taken by another user (give each its own number)",
    ]),
    ('group = [{ name = "nginx", gid = 5 }]', [
        "upper.toml: group[0].name: group 'nginx' is there twice (remove one of them; the image below has it)",
    ]),
    ('directory = [{ path = "x", owner = "ngin:nginx" }]', [
        "upper.toml: directory[0].owner: user 'ngin' is not declared in this image (did you mean 'nginx'?)",
    ]),
    ('waiver = [{ rule = "glib", paths = ["x"], why = " " }]', [
        "upper.toml: waiver[0].rule: 'glib' is not one of build-path, damaged, glibc, interpreter, lua-ffi, needed, run-path, shadow, "
        "writable (did you mean 'glibc'?)",
        "upper.toml: waiver[0].why: must say why",
    ]),
])
def test_a_wrong_image_says_what_is_wrong_and_where(more: str, expected: list[str]) -> None:
    assert wrong(more) == expected


def test_an_image_that_cannot_be_had_leaves_the_shape_to_be_checked() -> None:
    problems: list[Any] = []
    text = 'name = "other"\nfrom = "lower"\npackages = []\n'
    assert image.read(tomli.loads(text), path="upper.toml", stem="upper", problems=problems) is None
    assert [str(each) for each in problems] == ["upper.toml: packages: must have at least 1 of them"]


# ---- the project


def files(**images: str) -> dict[str, str]:
    """A project with a package `a`, the profiles p and q, and images from name="keys besides name and packages"."""
    made = {f"images/{name}": f'name = "{name}"\npackages = ["a"]\n{keys}\n' for name, keys in images.items()}
    return {"a": "", "profiles/p": 'name = "p"\n', "profiles/q": 'name = "q"\n', **made}


def test_images_are_read_after_what_they_stand_on(tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    root = write(tmp_path / "project", files(a='from = "b"', b='from = "c"', c='profiles = ["q"]\n[config]\nuser = "5"'))
    for _ in range(2):  # the second time from what is remembered
        found = project.load(str(root), cache_dir=cache)
        assert list(found.images) == ["a", "b", "c"]
        assert [(each.below, each.config.user, each.profiles) for each in found.images.values()] == [
            ("b", "5", ("q",)), ("c", "5", ("q",)), ("", "5", ("q",)),
        ]
    write(root, files(c='profiles = ["p"]\n[config]\nuser = "6"'))
    assert [each.config.user for each in project.load(str(root), cache_dir=cache).images.values()] == ["6", "6", "6"]


def test_unknown_images_cycles_and_profiles_are_told_at_once(tmp_path: Path) -> None:
    images = files(
        alone='from = "alone"', b='from = "c"', c='from = "b"', d='from = "b"\nsummary = 1', e='from = "lone"',
        f='from = "g"\nprofiles = ["p"]', g='profiles = ["q"]', h='from = "broken"\nmode = 1', broken="summary = 1",
    )
    assert problems_of(tmp_path, images) == [
        "recipes/images/broken.toml: summary: must be text, not a whole number",
        "recipes/images/e.toml: from: there is no image 'lone' (did you mean 'alone'?)",
        "recipes/images/alone.toml: from: these images stand on each other: alone -> alone (let one of them stand on none)",
        "recipes/images/b.toml: from: these images stand on each other: b -> c -> b (let one of them stand on none)",
        "recipes/images/d.toml: summary: must be text, not a whole number",
        "recipes/images/f.toml: profiles[0]: image 'g', on which it stands, does not resolve in profile 'p' (its profiles: q)",
        "recipes/images/h.toml: mode: must be a list, not a whole number",
    ]


# ---- the layer


def below(*entries: Entry) -> dict[str, Entry]:
    return {each.path: each for each in entries}


BELOW = below(
    Entry(path="etc", kind=DIR, mode=0o755, origin="nginx 1"),
    Entry(path="etc/conf", kind=FILE, mode=0o644, size=3, source="/store/conf", origin="nginx 1"),
    Entry(path="tmp", kind=DIR, mode=0o1777, origin="the image itself"),
    Entry(path="run", kind=DIR, mode=0o750, uid=101, gid=101, origin="the image itself"),
    Entry(path="bin", kind=LINK, mode=0o777, target="usr/bin", origin="alpine 3"),
)


def composed(*packages: layer.Package, **parts: object) -> dict[str, Entry]:
    return {each.path: each for each in layer.compose(packages, image_recipe(**parts), BELOW)}


def test_a_layer_has_only_what_is_not_below() -> None:
    found = composed(package("perl 5", etc="dir", etc__perl="file", run="dir", run__x="file", tmp="dir", usr="dir", usr__perl="program"))
    assert [(path, oct(each.mode)) for path, each in found.items()] == [
        ("etc/perl", "0o644"), ("run/x", "0o644"), ("usr", "0o755"), ("usr/perl", "0o755"),
    ]


def test_a_folder_below_changes_when_the_image_says_so() -> None:
    folders = (Directory(path="tmp", mode=0o1777), Directory(path="run", mode=0o755), Directory(path="etc/new"))
    found = composed(package("perl 5", run="dir"), directories=folders)
    assert [(path, oct(each.mode), each.uid) for path, each in found.items()] == [("etc/new", "0o755", 0), ("run", "0o755", 0)]


def test_what_a_layer_below_has_is_not_replaced_by_a_package() -> None:
    with pytest.raises(RefusedError) as error:
        composed(package("perl 5", bin="dir", bin__perl="program", etc="dir", etc__conf="file"), links={"tmp": "run"})
    assert error.value.message == (
        "the layer cannot be composed:\n"
        "  alpine 3 and perl 5 both have bin (a symbolic link and a directory)\n"
        "  nginx 1 and perl 5 both have etc/conf\n"
        "  the image itself and the image itself both have tmp (a directory and a symbolic link)"
    )


def test_the_image_itself_replaces_files_and_links() -> None:
    found = composed(package("perl 5", usr="dir"), files={"etc/conf": "new"}, links={"bin": "usr/local/bin"})
    assert (found["etc/conf"].data, found["bin"].target) == (b"new", "usr/local/bin")


def test_accounts_are_written_anew_only_when_there_are_new_ones() -> None:
    nginx, tester = User(name="nginx", uid=101, gid=101, group="nginx"), User(name="tester", uid=5, gid=101, group="nginx")
    groups = (Group(name="nginx", gid=101),)
    lower = {each.path: each for each in layer.compose([], image_recipe(users=(nginx,), groups=groups))}
    assert set(lower) == {"etc", "etc/passwd", "etc/group"}
    assert layer.compose([], image_recipe(users=(nginx,), groups=groups), lower) == ()
    more = image_recipe(users=(nginx, tester), groups=groups)
    (found,) = layer.compose([], more, lower)
    assert (found.path, found.data) == ("etc/passwd", accounts.files(more)["etc/passwd"].encode())


# ---- the lock


def stacked_lock() -> Lock:
    lock = make_lock(packages=["nginx 1.26.3"])
    upper = LockedImage(name="test", profile="embedded", recipe="", below="openresty", packages=("openresty 1",), base=("musl 1.2.5",))
    return Lock(images=(*lock.images, upper), packages=lock.packages)


def test_what_a_stack_names() -> None:
    lock = stacked_lock()
    lower, upper = lock.images
    assert (lock.stack(lower), lock.stack(upper)) == ((lower,), (lower, upper))
    assert lock.targets(lower) == ("nginx 1.26.3", "musl 1.2.5")
    assert lock.targets(upper) == ("openresty 1", "nginx 1.26.3", "musl 1.2.5")


def locked(**below: str) -> Lock:
    sri = "sha256-" + "A" * 43 + "="
    pin = LockedLayer(key=sri, layer="0" * 64, size=1, base=("1" * 64, "2" * 64))
    return Lock(images=tuple(
        LockedImage(name=name, profile="p", recipe=sri, below=other, outputs={PLATFORM: pin}) for name, other in sorted(below.items())
    ))


def test_a_stack_comes_back_as_it_was_written() -> None:
    lock = locked(a="", b="a", c="b")
    text = lock_text.format(lock)
    assert lock_text.parse(text) == lock
    assert text.count('\nfrom = "a"\n') == 1


@pytest.mark.parametrize(("images", "expected"), [
    ({"a": "", "b": "x"}, ["lock.toml: image 'b p'.from: there is no image 'x' in profile 'p' (known here: a, b)"]),
    ({"a": "b", "b": "a", "c": "a"}, [
        "lock.toml: image 'a p'.from: the image stands on itself: a -> b -> a",
        "lock.toml: image 'b p'.from: the image stands on itself: b -> a -> b",
    ]),
])
def test_a_stack_without_a_ground(images: dict[str, str], expected: list[str]) -> None:
    with pytest.raises(LockError) as error:
        lock_text.parse(lock_text.format(locked(**images)))
    assert [str(each) for each in error.value.problems] == expected


def test_the_graph_of_a_stack() -> None:
    found = graph.of(stacked_lock(), "embedded", "test", build=False)
    assert graph.tree(found) == (
        "image:test\n"
        "├── openresty 1\n"
        "│   └── nginx 1.26.3\n"
        "│       ├── openssl 3.5.7\n"
        "│       │   └── zlib 1.3.1\n"
        "│       ├── pcre2 10.46\n"
        "│       └── zlib 1.3.1\n"
        "└── image:openresty (base)\n"
        "    ├── nginx 1.26.3 (*)\n"
        "    └── musl 1.2.5 (base)\n"
    )
    assert graph.why_text(found, "test", "musl") == "image:test\n  stands on image:openresty\n    stands on musl 1.2.5\n"


def test_roles_in_a_stack(tmp_path: Path) -> None:
    lock = stacked_lock()
    part = Graph.of(lock.in_profile("embedded"), lock.targets(lock.images[1]))
    with Store(str(tmp_path / "store")) as store:
        plan = Plan(graph=part, recipes={}, host_platform=PLATFORM, source_tree=lambda *_: "", known=StoreView(store))
        roles = {row.package: row.role for row in inventory.rows(plan, lock, lock.images[1], store)}
    assert [name for name, role in roles.items() if role == "image"] == ["openresty"]
    assert [name for name, role in roles.items() if role == "base"] == ["musl", "nginx", "openssl", "pcre2", "zlib"]


# ---- built


@pytest.fixture
def built(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Small:
    made = small.make(tmp_path / "project", capsys)
    made.write("files/tools/usr/share/tool", "a tool\n")
    tools = 'name = "tools"\ntools = ""\nrequires = ["world"]\n[build]\nstyle = "prebuilt"\n[[version]]\nversion = "7"\n'
    made.write("recipes/tools.toml", tools + '[[version.source]]\nfolder = "files/tools"\n')
    made.replace("recipes/images/openresty.toml", '["small", "other"]\n', '["small", "other"]\n[config]\nuser = "0"\n')
    made.write("recipes/images/test.toml", 'name = "test"\nfrom = "openresty"\npackages = ["tools"]\n')
    monkeypatch.chdir(made.root)
    return made


def layout(project: Small, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and config of out/NAME."""
    folder = project.root / "out" / name / "oci"

    def blob(name: str) -> dict[str, Any]:
        return dict(json.loads((folder / "blobs" / name.replace(":", "/")).read_text()))

    manifest = blob(json.loads((folder / "index.json").read_text())["manifests"][0]["digest"])
    return manifest, blob(manifest["config"]["digest"])


def test_a_stack_is_built_from_the_bottom(built: Small) -> None:
    answer = built.run("build", "test", "--json")
    assert (answer.code, answer.json[0]["realised"]) == (0, ["base 1", "hello 1", "tools 7", "world 2"])
    (lower, lower_config), (upper, upper_config) = layout(built, "openresty"), layout(built, "test")
    assert upper["layers"][:-1] == lower["layers"], "bit for bit, compressed as they are there"
    assert upper_config["rootfs"]["diff_ids"][:-1] == lower_config["rootfs"]["diff_ids"]
    with tarfile.open(built.root / "out/test/layer.tar.gz") as own:
        assert own.getnames() == ["usr/share/tool"]
    assert upper_config["config"]["User"] == "0"
    labels = upper_config["config"]["Labels"]
    assert {key: labels[key] for key in labels if key.startswith("builder.package.")} == {
        "builder.package.base": "1", "builder.package.tools": "7", "builder.package.world": "2",
    }
    assert labels["org.opencontainers.image.version"] == "2", "it is called as the image below"
    lock = lock_text.parse((built.root / "lock.toml").read_text())
    pins = {each.name: each.outputs[PLATFORM] for each in lock.images if each.profile == "small"}
    assert pins["test"].base == (*pins["openresty"].base, pins["openresty"].layer)


def test_an_image_is_called_by_the_package_that_its_recipe_names_first(built: Small) -> None:
    built.replace("recipes/images/openresty.toml", '["world"]', '["world", "tools"]')
    assert built.run("build", "openresty").code == 0
    assert layout(built, "openresty")[1]["config"]["Labels"]["org.opencontainers.image.version"] == "2"


def test_a_stack_that_is_built_has_nothing_to_do(built: Small) -> None:
    built.run("build", "test")
    before = state(built)
    again = built.run("build", "test", "--locked")
    assert (again.code, again.err) == (0, "")
    assert state(built) == before


def test_a_damaged_layer_below_is_made_anew(built: Small) -> None:
    """The size tells nothing: it is seen when the layer is taken for the image above."""
    built.run("build", "test")
    sound = layout(built, "openresty")[0]["layers"]
    blob = built.root / "out/openresty/oci/blobs" / sound[-1]["digest"].replace(":", "/")
    data = blob.read_bytes()
    blob.unlink()
    blob.write_bytes(bytes(len(data)))
    shutil.rmtree(built.root / "out/test")
    answer = built.run("build", "test")
    assert answer.code == 0, answer.err
    assert blob.read_bytes() == data
    assert layout(built, "test")[0]["layers"][:-1] == sound


def state(project: Small) -> dict[Path, int]:
    """When each file of lock and out/ was written."""
    return {each: each.stat().st_mtime_ns for each in (project.root / "lock.toml", *(project.root / "out").rglob("*"))}


def test_a_change_below_is_followed(built: Small) -> None:
    built.run("build", "test")
    own, key = (built.root / "out/test/layer.tar.gz").read_bytes(), pinned(built, "test").key
    built.replace("recipes/world.toml", '"../share/greeting"', '"../share/greeting2"')
    assert built.run("build", "test").code == 0
    assert layout(built, "test")[0]["layers"][:-1] == layout(built, "openresty")[0]["layers"]
    assert (built.root / "out/test/layer.tar.gz").read_bytes() == own, "its own layer is as it was"
    assert pinned(built, "test").key != key


def pinned(project: Small, name: str) -> LockedLayer:
    found = lock_text.parse((project.root / "lock.toml").read_text()).image(name, "small")
    assert found is not None
    return found.outputs[PLATFORM]


def test_the_lock_must_pin_the_whole_stack_when_nothing_may_be_filled_in(built: Small) -> None:
    built.run("build", "openresty")
    built.run("build", "tools", "--profile", "small")
    answer = built.run("build", "test", "--locked")
    assert (answer.code, answer.out) == (1, "")
    assert "image test: the lock does not pin this image's layer" in answer.err


def test_another_profile_has_a_stack_of_its_own(built: Small) -> None:
    assert built.run("build", "test", "--profile", "other").code == 0
    assert sorted(each.name for each in (built.root / "out").iterdir()) == ["openresty-other", "test-other"]
    assert len(layout(built, "test-other")[0]["layers"]) == 2


def test_the_audit_of_a_stack(built: Small) -> None:
    built.run("build", "test")
    answer = built.run("audit", "--profile", "small")
    assert (answer.code, answer.out.splitlines()[-1]) == (
        0, f"no findings; {len(RULES)} rules looked at 4 packages of profile small on {PLATFORM}"
    )
    text = (built.root / "lock.toml").read_text()
    layer_of_test = pinned(built, "test").layer
    (built.root / "lock.toml").write_text(text.replace(layer_of_test, "0" * 64))
    (found,) = built.run("audit", "--profile", "small", "--json").json
    assert (found["rule"], found["place"]) == ("image-bytes", "image test in small, layer")
    below = pinned(built, "openresty").layer
    (built.root / "lock.toml").write_text(text.replace(below, "0" * 64))
    rules = {(each["rule"], each["place"]) for each in built.run("audit", "--profile", "small", "--json").json}
    assert {("image-bytes", "image openresty in small, layer"), ("stale-output", f"image test in small, output for {PLATFORM}")} <= rules


def test_what_a_contract_is_waived_for_is_seen_in_the_audit(built: Small) -> None:
    tables = "".join(
        f'[[waiver]]\nrule = "{rule}"\npaths = {json.dumps(paths)}\nwhy = "{why}"\n'
        for rule, paths, why in (("glibc", ["usr/lib/libc.so.6"], "a test's own"), ("glibc", ["opt/libm.so.6"], "a test's own"))
    )
    built.write("recipes/images/test.toml", 'name = "test"\nfrom = "openresty"\npackages = ["tools"]\n' + tables)
    built.write("files/tools/usr/lib/libc.so.6", "not even ELF\n")
    answer = built.run("build", "test")
    assert (answer.code, answer.out) == (1, "")
    assert "[waiver] opt/libm.so.6: nothing breaks 'glibc' here (remove it)" in answer.err
    assert "libc.so.6: is a file of glibc" not in answer.err
    built.write("files/tools/opt/libm.so.6", "nor this\n")
    assert built.run("build", "test").code == 0
    answer = built.run("audit", "--profile", "small")
    assert answer.out.splitlines()[:4] == [
        "allowed: an image breaks its contract in a way that its recipe gives a reason for",
        "  image test, rule glibc, usr/lib/libc.so.6, opt/libm.so.6",
        "    a test's own",
        "",
    ]
    assert answer.code == 0
