"""Images and profiles: what their files mean once read, and every problem with its exact text."""

import pytest
import tomli

from builder.base.shape import Problems
from builder.recipe import image, profile
from builder.recipe.image import Config, Directory, Group, Healthcheck, ImageRecipe, Mode, User
from builder.recipe.profile import Profile
from builder.recipe.requirement import Requirement

WHOLE = """
name = "gateway"
summary = "a gateway"
packages = ["openresty[lua-var] 1.*", "cookie"]
profiles = ["components", "upstream"]
user = [{ name = "nginx", uid = 101, home = "/var/cache/nginx" }, { name = "www", uid = 82, group = "web", shell = "/bin/sh" }]
group = [{ name = "web", gid = 83, members = ["nginx"] }]
mode = [{ path = "var/log/**", mode = "0750", owner = "nginx:web" }, { path = "bin/x", mode = "4755" }]
directory = [{ path = "var/cache/nginx", owner = "nginx:nginx" }, { path = "tmp", mode = "1777" }]
capabilities = { "usr/sbin/nginx" = ["CAP_NET_BIND_SERVICE"] }
links = { "usr/bin/openresty" = "/usr/sbin/nginx" }
files = { "etc/motd" = "hello\\n" }

[config]
entrypoint = ["/usr/sbin/nginx"]
command = ["-g", "daemon off;"]
env = { PATH = "/usr/sbin:/usr/bin" }
user = "nginx:web"
working-dir = "/"
stop-signal = "SIGQUIT"
ports = ["80", "443/tcp", "53/udp"]
labels = { "org.opencontainers.image.title" = "gateway" }
healthcheck = { test = ["/bin/true"], interval = 10, start-period = 5 }
"""
SMALL = 'name = "a"\npackages = ["b"]\n'


def read(text: str, stem: str = "a") -> ImageRecipe:
    problems: Problems = []
    found = image.read(tomli.loads(text), path=f"recipes/images/{stem}.toml", stem=stem, problems=problems)
    assert problems == []
    assert found is not None
    return found


def problems_of(text: str) -> list[str]:
    problems: Problems = []
    assert image.read(tomli.loads(text), path="recipes/images/a.toml", stem="a", problems=problems) is None
    return [str(each) for each in problems]


def test_what_the_whole_image_says() -> None:
    found = read(WHOLE, "gateway")
    assert found == ImageRecipe(
        name="gateway", path="recipes/images/gateway.toml", digest=found.digest, summary="a gateway",
        packages=(Requirement("openresty", ("lua-var",), ("1.*",)), Requirement("cookie")), profiles=("components", "upstream"),
        users=(
            User(name="nginx", uid=101, gid=101, group="nginx", home="/var/cache/nginx"),
            User(name="www", uid=82, gid=83, group="web", shell="/bin/sh"),
        ),
        groups=(Group(name="web", gid=83, members=("nginx",)), Group(name="nginx", gid=101)),
        modes=(Mode(path="var/log/**", mode=0o750, owner="nginx:web"), Mode(path="bin/x", mode=0o4755)),
        directories=(Directory(path="var/cache/nginx", owner="nginx:nginx"), Directory(path="tmp", mode=0o1777)),
        capabilities={"usr/sbin/nginx": ("CAP_NET_BIND_SERVICE",)},
        links={"usr/bin/openresty": "/usr/sbin/nginx"},
        files={"etc/motd": "hello\n"},
        config=Config(
            entrypoint=("/usr/sbin/nginx",), command=("-g", "daemon off;"), env={"PATH": "/usr/sbin:/usr/bin"}, user="nginx:web",
            working_dir="/", stop_signal="SIGQUIT", ports=("80/tcp", "443/tcp", "53/udp"),
            labels={"org.opencontainers.image.title": "gateway"},
            healthcheck=Healthcheck(test=("/bin/true",), interval=10, start_period=5),
        ),
    )


def test_a_small_image_takes_every_default() -> None:
    found = read(SMALL)
    assert found == ImageRecipe(name="a", path="recipes/images/a.toml", digest=found.digest, packages=(Requirement("b"),))


def test_a_user_may_be_in_the_group_root() -> None:
    found = read(SMALL + 'user = [{ name = "u", uid = 5, group = "root" }]')
    assert (found.users, found.groups) == ((User(name="u", uid=5, gid=0, group="root"),), ())


def test_the_digest_is_of_the_content() -> None:
    assert read(SMALL).digest == read("# a\n" + SMALL).digest != read(SMALL + 'summary = "x"\n').digest


@pytest.mark.parametrize(("text", "expected"), [
    ("packages = []", ["packages: must have at least 1 of them", "name: is missing (the file's name without .toml)"]),
    ('name = "b"\npackages = ["b"]', ["name: is 'b' but the file is a.toml (make them the same)"]),
    (SMALL + "profiles = []", ["profiles: must have at least 1 of them"]),
    (SMALL + 'capabilities = { "bin/x" = ["CAP_NET_BIND"] }', [
        "capabilities.bin/x[0]: 'CAP_NET_BIND' is not a Linux capability (like 'CAP_NET_BIND_SERVICE')",
    ]),
    (SMALL + 'mode = [{ path = "x", mode = "0999" }]', [
        "mode[0].mode: '0999' is not of the right form (octal digits as text, like '0755')",
    ]),
    (SMALL + 'mode = [{ path = "x", mode = 755 }]', [
        "mode[0].mode: must be text, not a whole number (octal digits as text, like '0755')",
    ]),
    (SMALL + 'mode = [{ path = "/x" }]', [
        "mode[0].path: '/x' is not a path inside a tree (relative to the image's root, like 'usr/local/bin')",
    ]),
    (SMALL + 'mode = [{ path = "x", owner = "nginx" }]', [
        "mode[0].owner: 'nginx' is not of the right form (USER:GROUP by name, like 'root:root')",
    ]),
    (SMALL + 'mode = [{ path = "x", owner = "nginx:root" }]', [
        "mode[0].owner: user 'nginx' is not declared in this image (known here: root)",
    ]),
    (SMALL + 'directory = [{ path = "x", owner = "nginx:wbe" }]\nuser = [{ name = "nginx", uid = 1, group = "web" }]', [
        "directory[0].owner: group 'wbe' is not declared in this image (did you mean 'web'?)",
    ]),
    (SMALL + 'user = [{ name = "root", uid = 1 }]', [
        "user[0].name: user 'root' is there twice (remove one of them; every base has root)",
    ]),
    (SMALL + 'user = [{ name = "u", uid = 1 }, { name = "v", uid = 1, group = "u" }]', [
        "user[1].uid: 1 is taken by another user (give each its own number)",
    ]),
    (SMALL + 'user = [{ name = "u", uid = 1, gid = 5, group = "g" }]\ngroup = [{ name = "g", gid = 6 }]', [
        "user[0].gid: is 5, but group 'g' has 6 (leave it out to take the group's)",
    ]),
    (SMALL + 'user = [{ name = "u", uid = 70000, group = "root" }]', ["user[0].uid: 70000 is too large (at most 65534)"]),
    (SMALL + 'group = [{ name = "g", gid = 6, members = ["me"] }]', [
        "group[0].members: user 'me' is not declared in this image (known here: root)",
    ]),
    (SMALL + 'group = [{ name = "g", gid = 6 }, { name = "g", gid = 7 }]', [
        "group[1].name: group 'g' is there twice (remove one of them; every base has root)",
    ]),
    (SMALL + 'links = { "../x" = "y" }', ["links.../x: '../x' is not a path inside a tree (relative to the image's root)"]),
    (SMALL + 'links = { "a" = "y" }\nfiles = { "a" = "z" }', ["files.a: is made by links too (remove one of them)"]),
    (SMALL + 'directory = [{ path = "a" }]\nlinks = { "a" = "y" }', ["links.a: is made by directory[0] too (remove one of them)"]),
    (SMALL + '[config]\nuser = "nginx"', ["config.user: user 'nginx' is not declared in this image (known here: root)"]),
    (SMALL + '[config]\nports = ["0/tcp", "70000"]', [
        "config.ports[0]: '0/tcp' is not a port (a number from 1 to 65535)",
        "config.ports[1]: '70000/tcp' is not a port (a number from 1 to 65535)",
    ]),
    (SMALL + '[config]\nworking-dir = "tmp"', ["config.working-dir: 'tmp' is not an absolute path"]),
    (SMALL + '[config]\nhealthcheck = { interval = 1 }', [
        'config.healthcheck.test: is missing (the command\'s words; ["NONE"] for no check)',
    ]),
    (SMALL + '[config]\nenv = { "A-B" = "1" }', [
        "config.env.A-B: the key is not of the right form (it must match [A-Za-z_][A-Za-z0-9_]*)",
    ]),
])
def test_a_wrong_image_says_what_is_wrong_and_where(text: str, expected: list[str]) -> None:
    assert problems_of(text) == [f"recipes/images/a.toml: {each}" for each in expected]


def test_numbers_of_users_are_taken_as_they_are() -> None:
    assert read(SMALL + '[config]\nuser = "1000:1000"').config.user == "1000:1000"


PROFILE = """
name = "upstream"
summary = "the official bundle"
base = ["alpine-minirootfs"]
outputs = "optional"
[constraints]
openresty = "1.27.* | 1.21.4.1 !1.27.1.1"
[providers]
nginx = "openresty"
[features]
openresty = ["lua-var", "debug", "lua-var"]
"""


def profile_problems(text: str) -> list[str]:
    problems: Problems = []
    assert profile.read(tomli.loads(text), path="recipes/profiles/a.toml", stem="a", problems=problems) is None
    return [str(each) for each in problems]


def test_what_the_whole_profile_says() -> None:
    problems: Problems = []
    found = profile.read(tomli.loads(PROFILE), path="recipes/profiles/upstream.toml", stem="upstream", problems=problems)
    assert problems == []
    assert found is not None
    assert found == Profile(
        name="upstream", path="recipes/profiles/upstream.toml", digest=found.digest, summary="the official bundle",
        base=(Requirement("alpine-minirootfs"),), outputs_required=False, providers={"nginx": "openresty"},
        constraints={"openresty": Requirement("openresty", (), ("1.27.*", "1.21.4.1"), ("1.27.1.1",))},
        features={"openresty": ("debug", "lua-var")},
    )


@pytest.mark.parametrize(("text", "expected"), [
    ('name = "b"', ["name: is 'b' but the file is a.toml (make them the same)"]),
    ('name = "a"\nconstraint = {}', ["constraint: unknown key (did you mean 'constraints'?)"]),
    ('name = "a"\nconstraints = { zlib = "" }', [
        "constraints.zlib: '' is not a version or a pattern (like '3.5.* | 3.0.20' or '!1.1.1*')",
    ]),
    ('name = "a"\nconstraints = { zlib = ">1" }', [
        "constraints.zlib: '>1' is not a version or a pattern (like '3.5.* | 3.0.20' or '!1.1.1*')",
    ]),
    ('name = "a"\nfeatures = { zlib = [] }', ["features.zlib: must have at least 1 of them"]),
    ('name = "a"\noutputs = "some"', ["outputs: 'some' is not one of required, optional (known here: optional, required)"]),
])
def test_a_wrong_profile_says_what_is_wrong_and_where(text: str, expected: list[str]) -> None:
    assert profile_problems(text) == [f"recipes/profiles/a.toml: {each}" for each in expected]
