"""Layers and images that tests make: packages as lists of entries, and entries as an image that the contract looks at."""

from elf_maker import make

from builder.image import contract
from builder.image.contract import Image
from builder.image.oci.entry import DIR, FILE, LINK, Entry, order, parents
from builder.image.oci.layer import Package
from builder.recipe.image import ImageRecipe
from builder.tree import nar

WHERE = "recipes/images/web.toml"
MUSL = "/lib/ld-musl-x86_64.so.1"
LOADER = {"lib/ld-musl-x86_64.so.1": make(exports=["malloc", "free", "open"])}


def package(name: str, **kinds: str) -> Package:
    """A package from path=kind pairs ("a__b" is a/b): "file", "program", "dir", or "-> target" of a link."""
    entries = [nar.Entry(path="", kind="dir")]
    for key, kind in kinds.items():
        path = key.replace("__", "/")
        if kind.startswith("-> "):
            entries.append(nar.Entry(path=path, kind="link", target=kind[3:]))
        elif kind == "dir":
            entries.append(nar.Entry(path=path, kind="dir"))
        else:
            entries.append(nar.Entry(path=path, kind="file", size=3, executable=kind == "program"))
    return Package(id=name, path=f"/store/{name}", entries=entries)


def image_recipe(**parts: object) -> ImageRecipe:
    return ImageRecipe(name="web", path=WHERE, digest="", **parts)  # type: ignore[arg-type]


def entries(files: dict[str, bytes], links: dict[str, str] | None = None, **modes: int) -> tuple[Entry, ...]:
    """A layer of files and links with the folders above them; `modes` are by base name, dots as `_`."""
    found = [Entry(path=path, kind=FILE, mode=0o644, size=len(data), data=data, origin="it") for path, data in files.items()]
    found += [Entry(path=path, kind=LINK, mode=0o777, target=target, origin="it") for path, target in (links or {}).items()]
    folders = {above for each in found for above in parents(each.path)}
    found += [Entry(path=path, kind=DIR, mode=0o755, origin="it") for path in folders]
    return tuple(sorted(found, key=order))


def image(*layers: tuple[Entry, ...], machine: str = "x86_64") -> Image:
    return contract.survey(layers, machine=machine)
