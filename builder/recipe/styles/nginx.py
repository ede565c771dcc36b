"""Style `nginx`: nginx's own configure with add-on modules, as the OpenResty bundle lays them out.

A module's source lies at /usr/src/<package> (an input of the build). It is copied beside the source as
`../<package>-<version>`, so that `nginx -V` names no path of the build.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from builder.base.shape import Field, ListOf, Text
from builder.recipe.styles.make import make_steps
from builder.recipe.styles.shell import run_fields, words
from builder.recipe.styles.style import Step, Style


def _steps(options: Mapping[str, Any]) -> tuple[Step, ...]:
    modules = [each.split("=", 1) for each in options.get("modules", [])]
    copies = [
        f"cp -R --no-preserve=mode {shlex.quote('/usr/src/' + package)} ../{shlex.quote(directory)}"
        for directory, package in modules
    ]
    arguments = [*options.get("configure", []), *(f"--add-module=../{directory}" for directory, _ in modules)]
    steps = (Step("modules", "\n".join(copies)),) if copies else ()
    return make_steps(options, (*steps, Step("configure", words(["./configure", *arguments]))))


STYLE = Style(
    options={
        **run_fields(),
        "configure": Field(ListOf(Text()), "arguments of nginx's configure, without the modules"),
        "modules": Field(
            ListOf(Text(r"[^=\s]+=[^=\s]+")), "DIRECTORY=PACKAGE: add-on modules in order, each at /usr/src/PACKAGE"
        ),
    },
    steps=_steps,
)
