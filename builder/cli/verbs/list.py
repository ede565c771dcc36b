"""`builder list`: packages with version, state and size."""

from msgspec.structs import replace

from builder.cli.options import Options
from builder.cli.output import say, say_json
from builder.cli.session import session
from builder.show import inventory


def run(options: Options) -> int:
    """One row a package: version, its state now, size of its files in the image."""
    with session(replace(options, offline=True)) as opened:
        image = opened.image()
        plan = opened.builder.plan(opened.lock, image.profile, opened.lock.targets(image), look=True)
        rows = inventory.rows(plan, opened.lock, image, opened.store)
        if options.json:
            say_json("list", rows)
        else:
            say(inventory.table(rows))
        return 0

