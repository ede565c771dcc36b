"""The store: trees by the digest of their content, and records of which derivation made which trees.

    <root>/
      trees/<64 hex>         a tree (directory or file) in canonical form; the name is the SHA-256 of its NAR form
      trees/.new-*           a tree that is being named; trees/.gone-*: one that is being removed
      records/<2 hex>/<64 hex>.json   the outputs of the derivation with this key (sealed JSON, see `sealed.py`)
      roots/<name>.json      a garbage collection root: what to keep, and for which project (sealed JSON)
      logs/<64 hex>.log      the log of the build with this key
      files/<64 hex>         a verified archive; the name is the SHA-256 of its bytes
      quarantine/            bytes that are not verified yet
      tmp/<pid>-<random>/    one staged directory each, and files before they are renamed into place
      locks/guard            flock: shared by every open store, exclusive while garbage is removed
      locks/<64 hex>         flock: the one process that builds this key; gone when it is released

The locks. Adding needs none: everything is made below tmp/ and named by rename(2), and two processes that add the same
tree add the same bytes. Removing (garbage collection, and sweeping the leftovers of killed processes) takes the guard
exclusively, so a tree that an open store has seen stays there until the store is closed. A key's lock only saves work:
without it a key is built twice, and the second record replaces the first.

Canonical form: files 0444 or 0555, directories 0555, all times at second 1, no extended attributes, no hard links. NAR
holds none of these; in this form they cannot differ between two machines, so no build can see a difference.

Failures. kill -9: nothing half-made has a name; the next process that finds the store unused removes leftovers below
tmp/ and under dotted names in trees/. A full disk: StoreError, and the same. Loss of power: nothing is forced to the
disk (fsync costs more than most small builds), so files of the last seconds can be empty or torn; a torn record counts
as absent, and `verify` finds every tree and archive that is.
"""

from builder.store.gc_root import Root
from builder.store.record import Record
from builder.store.remove import remove_tree
from builder.store.store import Store

__all__ = ["Record", "Root", "Store", "remove_tree"]
