"""`builder schema recipe`: the JSON Schema of a kind of file, or of a verb's output."""

import json

from builder.base.errors import UsageError
from builder.cli import kinds
from builder.cli.options import Options
from builder.cli.output import say
from builder.recipe import image, profile, recipe


def run(options: Options) -> int:
    """The JSON Schema of a kind of file, or of a verb's `--json`."""
    files = {"recipe": recipe.schema, "image": image.schema, "profile": profile.schema}
    if options.kind in files and options.document is None:
        found = files[options.kind]()
    elif options.kind in files:
        raise UsageError(f"unexpected: {options.document}", where="schema", hint="say `builder schema output KIND`")
    else:
        found = kinds.schema(options.document)
    say(json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False))
    return 0

